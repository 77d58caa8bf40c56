"""Admin commands of the satellite, on both databases: projects, keys, buckets, limits, usage, check, restore."""
import json
import os
import shutil
import socket
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import SLOW, program
from test_satellite import database, made, satellite, start, wait_until  # noqa: F401  (fixtures)


def rows(*args):
    return json.loads(satellite(*args, "--json").stdout)


@pytest.fixture
def project(made):
    satellite("project", "create", "--dir", made, "--name", "p")
    satellite("apikey", "create", "--dir", made, "--project", "p", "--name", "k")
    return ["--dir", made, "--project", "p"]


def can_connect(address):
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def acre(*args, check=True, stdin=b""):
    process = subprocess.run([program("acre"), *map(str, args)], input=stdin, capture_output=True, check=False,
                             timeout=60 * SLOW)
    if check:
        assert process.returncode == 0, f"{args}: {process.stderr.decode()}"
    return process


@pytest.fixture
def grant(made, project, start, tmp_path):  # noqa: F811
    """A grant of a satellite that runs, kept in a directory of its own; small objects need no nodes."""
    start("acre-satellite", made).serving()
    url = satellite("url", "--dir", made).stdout.strip()
    key = satellite("apikey", "create", *project, "--name", "user").stdout.strip()
    to = tmp_path / "grant"
    acre("access", "create", "--config-dir", tmp_path / "config", "--satellite-address", url, "--api-key", key,
         "--passphrase-stdin", "--export-to", to, stdin=b"x\n")
    return to.read_text().strip()


def test_half_a_command():
    for args in (["project"], ["project", "lst"]):
        bad = satellite(*args, check=False)
        assert bad.returncode == 2 and '"project create", "project list", "project set"' in bad.stderr, bad.stderr
    bad = satellite("projects", check=False)
    assert bad.returncode == 2 and "is no command" in bad.stderr
    for line in satellite("--help").stdout.splitlines()[2:-2]:
        assert line.startswith("  ") and (not line.startswith("   ") or line[:44].isspace())


def test_keys(made, project):
    satellite("apikey", "create", *project, "--name", "audited", "--auditable")
    keys = {k["name"]: k for k in rows("apikey", "list", *project)}
    assert set(keys) == {"k", "audited"}
    assert keys["audited"]["auditable"] and not keys["k"]["auditable"]
    satellite("apikey", "set", *project, "--name", "k", "--rate", "5", "--rate-burst", "10")
    satellite("apikey", "set", *project, "--name", "k", "--rate", "default")
    for args, code, says in [(("--name", "k"), 2, "how many"), (("--name", "k", "--rate", "x"), 2, "no number"),
                             (("--name", "none", "--rate", "5"), 3, "no key")]:
        bad = satellite("apikey", "set", *project, *args, check=False)
        assert bad.returncode == code and says in bad.stderr, bad.stderr
    satellite("apikey", "delete", *project, "--name", "k")
    assert [k["name"] for k in rows("apikey", "list", *project)] == ["audited"]
    again = satellite("apikey", "delete", *project, "--name", "k", check=False)
    assert again.returncode == 3 and "no key" in again.stderr
    bad = satellite("apikey", "revoke", "--dir", made, "nonsense", check=False)
    assert bad.returncode == 2 and "no API key" in bad.stderr
    key = satellite("apikey", "create", *project, "--name", "gone").stdout.strip()
    assert "Revoked" in satellite("apikey", "revoke", "--dir", made, key).stdout
    assert {k["name"]: k["revoked"] for k in rows("apikey", "list", *project)}["gone"] == 1
    assert "Registered" in satellite("apikey", "register", "--dir", made, key).stdout


def test_project_set(project):
    satellite("project", "set", *project, "--max-storage", "10GB", "--rate", "50", "--rate-put", "default",
              "--max-segments", "none", "--versioning", "--disabled=false")
    for args, says in [((), "what to change"), (("--max-storage", "much"), "no size"), (("--rate", "-1"), "no number"),
                       (("--rate", "none"), "no number")]:
        bad = satellite("project", "set", *project, *args, check=False)
        assert bad.returncode == 2 and says in bad.stderr, bad.stderr
    # What is wrong with one thing changes nothing.
    bad = satellite("project", "set", *project, "--max-storage", "5GB", "--placement", "9", check=False)
    assert bad.returncode == 3 and "no placement" in bad.stderr
    shown, = rows("project", "list", *project[:2])
    assert shown["max_storage"] == 10 ** 10 and shown["rate"] == 50 and shown["max_segments"] == 0
    assert shown["rate_put"] is None and shown["placement"] is None and shown["versioning"] and not shown["disabled"]
    text = satellite("project", "list", *project[:2]).stdout
    assert "p  max-storage 10000000000  max-segments 0  rate 50  versioning" in text
    unknown = satellite("project", "set", *project[:2], "--project", "other", "--rate", "1", check=False)
    assert unknown.returncode == 3 and "no project" in unknown.stderr


def test_limits_refuse(project):
    for args, says in [(("--storage", "1GB"), "what is limited"),
                       (("--apikey", "k", "--bucket", "b"), "what is limited"),
                       (("--apikey", "k", "--storage", "x"), "no size"),
                       (("--apikey", "k", "--downloads", "1.5"), "no number"),
                       (("--apikey", "k", "--spend", "1.1234567"), "no dollars"),
                       (("--apikey", "k", "--spend", "."), "how many"),
                       (("--apikey", "k", "--spend", "-1"), "no dollars")]:
        bad = satellite("limit", "set", *project, *args, check=False)
        assert bad.returncode == 2 and says in bad.stderr, bad.stderr
    none = satellite("limit", "set", *project, "--bucket", "none", "--storage", "1", check=False)
    assert none.returncode == 3 and "bucket not found" in none.stderr


def test_limits_of_a_bucket(made, project, grant, tmp_path):
    small = tmp_path / "small"
    small.write_bytes(b"x" * 1000)
    acre("mb", "--access", grant, "sj://bucket")
    acre("cp", "--access", grant, small, "sj://bucket/a")
    stored = rows("bucket", "list", *project)[0]
    assert stored["name"] == "bucket" and stored["objects"] == 1 and 1000 <= stored["stored"] < 2000
    size = stored["stored"]
    satellite("limit", "set", *project, "--bucket", "bucket", "--storage", size * 2, "--spend", "2.5", "--monthly")
    limit, = rows("limit", "list", *project)
    assert limit["kind"] == "bucket" and limit["name"] == "bucket" and limit["monthly"]
    assert limit["storage"] == size and limit["max_storage"] == 2 * size
    assert limit["max_spend_micro_dollars"] == 2500000 and limit["max_egress"] is None
    assert "of 2.5" in satellite("limit", "list", *project).stdout
    usage, = rows("usage", "--dir", made)
    assert usage["project"] == "p" and usage["stored"] == size and usage["buckets"] == 1
    of_keys = rows("usage", "--dir", made, "--key")
    assert of_keys and all(u["project"] == "p" and u["stored"] is None for u in of_keys)
    assert "stored not counted" in satellite("usage", "--dir", made, "--key").stdout
    assert "ok" in satellite("check", "--dir", made).stdout


def test_check_and_restore(made, project, grant, tmp_path, database):  # noqa: F811
    small = tmp_path / "small"
    small.write_bytes(b"x" * 1000)
    acre("mb", "--access", grant, "sj://bucket")
    acre("cp", "--access", grant, small, "sj://bucket/a")
    report = rows("check", "--dir", made)
    assert report["broken"] == 0 and report["objects"] == 1 and len(report["findings"]) > 10
    copy = tmp_path / "copy"
    if database:
        no = satellite("restore", "--dir", made, copy, check=False)
        assert no.returncode == 1 and "pg_restore" in no.stderr
        return
    satellite("backup", "--dir", made, copy)
    acre("cp", "--access", grant, small, "sj://bucket/b")
    busy = satellite("restore", "--dir", made, copy, check=False)
    assert "stop that one first" in busy.stderr


def test_restore(made, project, tmp_path, database, start):  # noqa: F811
    if database:
        pytest.skip("PostgreSQL has its own tools")
    copy = tmp_path / "copy"
    satellite("backup", "--dir", made, copy)
    satellite("project", "create", "--dir", made, "--name", "later")
    missing = satellite("restore", "--dir", made, tmp_path / "none", check=False)
    assert missing.returncode == 3 and not (tmp_path / "none").exists()
    # A damaged copy is refused and leaves everything as it was.
    bad = tmp_path / "bad"
    shutil.copy(copy, bad)
    with sqlite3.connect(bad) as db:
        db.execute("INSERT INTO buckets (id, project_id, name, created_at, placement, versioning, lock_enabled,"
                   " lock_mode, lock_days, lock_years) VALUES (1, x'00', x'61', 0, 0, 1, 0, 0, 0, 0)")
    refused = satellite("restore", "--dir", made, bad, check=False)
    assert refused.returncode == 1 and "1 errors" in refused.stderr
    assert "BROKEN  every bucket has a project" in refused.stdout
    assert {p["name"] for p in rows("project", "list", "--dir", made)} == {"p", "later"}
    satellite("restore", "--dir", made, copy)
    assert {p["name"] for p in rows("project", "list", "--dir", made)} == {"p"}
    assert len([n for n in os.listdir(made) if ".before-" in n]) == 1
    start("acre-satellite", made).serving()
    # It serves, and the books are right.
    assert rows("check", "--dir", made)["broken"] == 0


def test_limits_of_a_grant(made, project, grant, tmp_path):
    small = tmp_path / "small"
    small.write_bytes(b"x" * 1000)
    acre("mb", "--access", grant, "sj://bucket")
    acre("cp", "--access", grant, small, "sj://bucket/a")
    shared = json.loads(acre("share", "--access", grant, "-o", "json", "--limit-downloads", 2, "--limit-storage", "10KB",
                             "--limit-spend", "2.5", "--readonly=false", "sj://bucket/").stdout)["access"]
    inspected = json.loads(acre("access", "inspect", shared).stdout)
    limits, = [c["limits"] for c in inspected["api_key"]["caveats"] if "limits" in c]
    assert limits == {"monthly": False, "storage_bytes": 10000, "downloads": 2, "spend_micro_dollars": 2500000}
    for _ in range(2):
        acre("cp", "--access", shared, "sj://bucket/a", tmp_path / "back")
    third = acre("cp", "--access", shared, "sj://bucket/a", tmp_path / "more", check=False)
    assert third.returncode != 0 and b"bandwidth limit" in third.stderr, third.stderr
    acre("cp", "--access", shared, small, "sj://bucket/b")
    for name in "cdefghijklmn":
        last = acre("cp", "--access", shared, small, f"sj://bucket/{name}", check=False)
    assert last.returncode != 0 and b"storage limit" in last.stderr, last.stderr
    counted, = rows("limit", "list", *project)
    assert counted["kind"] == "grant" and counted["downloads"] == 2 and counted["storage"] <= 10000
    acre("cp", "--access", grant, "sj://bucket/a", tmp_path / "still")
    for args, says in [(("--limit-spend", "x"), b"no dollars"), (("--limit-monthly",), b"a limit beside")]:
        bad = acre("share", "--access", grant, *args, "sj://bucket/", check=False)
        assert bad.returncode == 2 and says in bad.stderr, bad.stderr


def test_two_processes_keep_one_limit(made, project, database, start, tmp_path):  # noqa: F811
    """Two satellites over one PostgreSQL: what may be had ten times is had ten times, whoever is asked."""
    if not database:
        pytest.skip("one process has an SQLite database")
    key = satellite("apikey", "create", *project, "--name", "user").stdout.strip()
    twin = tmp_path / "twin"
    shutil.copytree(made, twin)
    running = [start("acre-satellite", made), start("acre-satellite", twin)]
    grants, addresses = [], []
    for number, (one, directory) in enumerate(zip(running, [made, twin])):
        addresses.append(one.serving())
        to = tmp_path / f"grant{number}"
        acre("access", "create", "--config-dir", tmp_path / "config", "--satellite-address",
             satellite("url", "--dir", directory).stdout.strip(), "--api-key", key, "--passphrase-stdin",
             "--export-to", to, stdin=b"x\n")
        grants.append(to.read_text().strip())
    small = tmp_path / "small"
    small.write_bytes(b"x" * 1000)
    acre("mb", "--access", grants[0], "sj://bucket")
    acre("cp", "--access", grants[0], small, "sj://bucket/a")
    acre("cp", "--access", grants[1], "sj://bucket/a", tmp_path / "before")
    # Both begin anew, so that neither remembers a project without limits.
    for one in running:
        one.stop()
    satellite("limit", "set", *project, "--bucket", "bucket", "--downloads", 10)
    for address, directory in zip(addresses, [made, twin]):
        start("acre-satellite", directory, "--address", address)
        wait_until(lambda address=address: can_connect(address))
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda n: acre("cp", "--access", grants[n % 2], "sj://bucket/a", tmp_path / f"back{n}",
                                            check=False).returncode == 0, range(24)))
    assert sum(done) == 10
    counted, = rows("limit", "list", *project)
    assert counted["downloads"] == 10
