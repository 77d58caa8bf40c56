"""The command line against a real network: what goes up comes back, listings, sharing, exit codes."""
import json
import os
import random

import pytest

KIB = 1024
SIZES = [0, 1, 4095, 4096, 4097, 7403, 7404, 7405, 7408, 29632, 100_000, 1_000_003]


def content(size, seed=1):
    return random.Random(seed * 1_000_003 + size).randbytes(size)


@pytest.mark.parametrize("size", SIZES)
def test_round_trip(network, bucket, tmp_path, size):
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(content(size))
    network.acre("cp", source, f"sj://{bucket}/file")
    network.acre("cp", f"sj://{bucket}/file", back)
    assert back.read_bytes() == source.read_bytes()
    [info] = network.acre("stat", "--output", "json", f"sj://{bucket}/file").json()
    assert info["size"] == size and info["key"] == "file"


def test_several_segments_and_ranges(network, bucket, tmp_path):
    data = content(3_000_000)
    source = tmp_path / "source"
    source.write_bytes(data)
    network.acre("cp", "--segment-size", "1MiB", "--parallelism", "3", source, f"sj://{bucket}/big")
    assert network.acre("cat", f"sj://{bucket}/big").out == data
    for text, part in [("bytes=0-0", data[:1]), ("bytes=1048570-1048585", data[1048570:1048586]),
                       ("bytes=2999990-", data[2999990:]), ("bytes=-7", data[-7:]),
                       ("bytes=7000-9000", data[7000:9001]), ("bytes=0-2999999", data)]:
        assert network.acre("cat", "--range", text, f"sj://{bucket}/big").out == part, text


def test_standard_input_and_output(network, bucket):
    data = content(300_000)
    network.acre("cp", "-", f"sj://{bucket}/pipe", input=data)
    assert network.acre("cp", f"sj://{bucket}/pipe", "-").out == data


def test_directories(network, bucket, tmp_path):
    tree = tmp_path / "tree"
    files = {"a": 10, "b/c": 5000, "b/d e": 0, "b/ü/日本": 77, "x/y/z/w": 9000}
    for name, size in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content(size))
    network.acre("cp", "-r", "--transfers", "4", tree, f"sj://{bucket}/tree")
    network.acre("cp", "-r", f"sj://{bucket}/tree", tmp_path / "back")
    for name in files:
        assert (tmp_path / "back" / name).read_bytes() == (tree / name).read_bytes()
    listed = network.acre("ls", "-r", "--output", "json", f"sj://{bucket}/tree/").json()
    assert sorted(item["key"] for item in listed) == sorted("tree/" + name for name in files)
    top = network.acre("ls", "--output", "json", f"sj://{bucket}/tree/").json()
    assert sorted((item["kind"], item["key"]) for item in top) == [("OBJ", "a"), ("PRE", "b/"), ("PRE", "x/")]


def test_names_that_try_to_leave_the_directory(network, bucket, tmp_path):
    network.acre("cp", "-", f"sj://{bucket}/dir/../../evil", input=b"x")
    result = network.acre("cp", "-r", f"sj://{bucket}/dir/", tmp_path / "inside", check=False)
    assert result.code != 0 and "cannot be a file name" in result.errors
    assert not (tmp_path.parent / "evil").exists() and not (tmp_path / "evil").exists()


def test_metadata_and_expiry(network, bucket, tmp_path):
    network.acre("cp", "--metadata", '{"colour":"blue","ü":"日"}', "--expires", "+2h", "-",
                 f"sj://{bucket}/meta", input=b"data")
    [info] = network.acre("stat", "--output", "json", f"sj://{bucket}/meta").json()
    assert info["metadata"] == {"colour": "blue", "ü": "日"}
    assert info["expires"]
    assert network.acre("cp", "--expires", "2001-01-01", "-", f"sj://{bucket}/x", input=b"", check=False).code == 2


def test_move_copy_remove(network, bucket):
    data = content(50_000)
    network.acre("cp", "-", f"sj://{bucket}/one", input=data)
    network.acre("cp", f"sj://{bucket}/one", f"sj://{bucket}/two")
    network.acre("mv", f"sj://{bucket}/one", f"sj://{bucket}/three")
    assert network.acre("stat", f"sj://{bucket}/one", check=False).code == 3
    for name in ("two", "three"):
        assert network.acre("cat", f"sj://{bucket}/{name}").out == data
    network.acre("rm", f"sj://{bucket}/two", f"sj://{bucket}/three")
    assert network.acre("ls", "--output", "json", f"sj://{bucket}").json() == []


def test_overwrite(network, bucket):
    for size in (100_000, 10, 5_000):
        network.acre("cp", "-", f"sj://{bucket}/same", input=content(size))
        assert network.acre("cat", f"sj://{bucket}/same").out == content(size)


def test_paged_listing(network, bucket, tmp_path):
    tree = tmp_path / "many"
    tree.mkdir()
    for i in range(1100):
        (tree / f"{i:04}").write_bytes(b"%d" % i)
    network.acre("cp", "-r", "--transfers", "8", tree, f"sj://{bucket}/many/", timeout=300)
    listed = network.acre("ls", "--output", "json", f"sj://{bucket}/many/").json()
    assert sorted(item["key"] for item in listed) == [f"{i:04}" for i in range(1100)]
    network.acre("rm", "-r", f"sj://{bucket}/many/", timeout=300)
    assert network.acre("ls", "--output", "json", f"sj://{bucket}/").json() == []


def test_buckets(network):
    network.acre("mb", "sj://first-bucket")
    network.acre("cp", "-", "sj://first-bucket/x", input=b"x")
    assert "first-bucket" in [b["name"] for b in network.acre("ls", "--output", "json").json()]
    refused = network.acre("rb", "sj://first-bucket", check=False)
    assert refused.code == 1 and "not empty" in refused.errors
    network.acre("rb", "--force", "sj://first-bucket")
    assert network.acre("ls", "sj://first-bucket", check=False).code == 3
    assert network.acre("mb", "sj://UPPER", check=False).code == 1


def test_share_opens_one_folder_and_nothing_else(network, bucket, tmp_path):
    for name in ("open/file", "closed/file"):
        network.acre("cp", "-", f"sj://{bucket}/{name}", input=name.encode())
    [shared] = network.acre("share", "--output", "json", f"sj://{bucket}/open/").json()
    grant = ["--access", shared["access"]]
    assert network.acre("cat", *grant, f"sj://{bucket}/open/file").out == b"open/file"
    assert [o["key"] for o in network.acre("ls", "--output", "json", *grant, f"sj://{bucket}/open/").json()] == ["file"]
    for args in (["cat", f"sj://{bucket}/closed/file"], ["rm", f"sj://{bucket}/open/file"],
                 ["ls", f"sj://{bucket}/closed/"]):
        assert network.acre(*args, *grant, check=False).code != 0, args
    write = network.acre("cp", "-", f"sj://{bucket}/open/new", *grant, input=b"", check=False)
    assert write.code == 4
    [expired] = network.acre("share", "--output", "json", "--not-after", "-1h", f"sj://{bucket}/open/").json()
    assert network.acre("cat", "--access", expired["access"], f"sj://{bucket}/open/file", check=False).code == 4


def test_stored_accesses(network, tmp_path):
    env = {"ACRE_CONFIG_DIR": str(tmp_path / "config"), "ACRE_ACCESS": ""}
    assert network.acre("ls", env=env, check=False).code == 3
    grant = tmp_path / "grant"
    grant.write_text(network.values["ACRE_ACCESS"] + "\n")
    network.acre("access", "import", "a", grant, env=env)
    network.acre("access", "import", "b", "-", env=env, input=grant.read_bytes())
    assert network.acre("access", "import", "b", grant, env=env, check=False).code == 1
    assert oct(os.stat(tmp_path / "config" / "access.json").st_mode)[-3:] == "600"
    listed = network.acre("access", "list", "--output", "json", env=env).json()
    assert [(a["name"], a["used"]) for a in listed] == [("a", True), ("b", False)]
    network.acre("access", "use", "b", env=env)
    network.acre("ls", env=env)
    inspect = json.loads(network.acre("access", "inspect", env=env).text)
    assert inspect["satellite"] == network.values["ACRE_SATELLITE"]
    assert network.values["ACRE_API_KEY"] not in json.dumps(inspect)
    network.acre("access", "remove", "b", env=env)
    network.acre("access", "remove", "a", env=env)
    assert network.acre("access", "list", "--output", "json", env=env).json() == []


def test_access_from_passphrase_equals_the_networks_own(network, bucket):
    network.acre("cp", "-", f"sj://{bucket}/x", input=b"hello")
    grant = network.acre("access", "create", "--satellite-address", network.values["ACRE_SATELLITE"],
                         "--api-key", network.values["ACRE_API_KEY"], "--passphrase-stdin",
                         input=network.values["ACRE_PASSPHRASE"].encode() + b"\n").text.strip()
    assert network.acre("cat", "--access", grant, f"sj://{bucket}/x").out == b"hello"
    other = network.acre("access", "create", "--satellite-address", network.values["ACRE_SATELLITE"],
                         "--api-key", network.values["ACRE_API_KEY"], "--passphrase-stdin",
                         input=b"another passphrase\n").text.strip()
    # Another passphrase is another world: nothing is there, and nothing breaks.
    assert network.acre("cat", "--access", other, f"sj://{bucket}/x", check=False).code == 3
    listed = network.acre("ls", "--output", "json", "--access", other, f"sj://{bucket}")
    assert listed.json() == [] and "another passphrase" in listed.errors
