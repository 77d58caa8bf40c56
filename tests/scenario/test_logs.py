"""What logs and figures say of renters: nothing.  And what an error says, that the log can be asked for."""
import base64
import json
import os
import re
import signal
import subprocess
import time

import pytest

from conftest import BIN, SLOW, Network, program
from test_satellite_api import Api, set_setting

BUCKET = "buecket-of-secrets"
FOLDER, NAME, OTHER = "hiddenfolder", "hiddenname.txt", "othername.bin"


@pytest.fixture(params=["sqlite", "postgres"])
def net(request, tmp_path):
    database = request.getfixturevalue("postgres").database() if request.param == "postgres" else None
    network = Network(tmp_path, nodes=6, rs="2/3/4/6", database=database)
    network.database = request.param
    try:
        network.up()
        # All statements are slow ones, and there is an API.
        set_setting(satellite_dir(network), "slow-statement", "1ns")
        set_setting(satellite_dir(network), "admin-address", "127.0.0.1:0")
        restart(network)
        yield network
    finally:
        network.down()


def satellite_dir(net):
    return net.dir / "net" / "satellite"


def restart(net):
    net.kill("satellite")
    net.start("satellite")


def logs(net):
    """Name and text of everything that was logged."""
    return {path.parent.name: path.read_text(errors="replace") for path in (net.dir / "net").glob("*/log")}


def wait_until(condition, what):
    end = time.monotonic() + 30 * SLOW
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def use(net, tmp_path):
    """A renter's day, with mistakes."""
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"s" * 1000)
    large.write_bytes(os.urandom(3000000))
    folder = f"sj://{BUCKET}/{FOLDER}"
    net.acre("mb", f"sj://{BUCKET}")
    net.acre("cp", small, f"{folder}/{NAME}")
    net.acre("cp", large, f"{folder}/{OTHER}")
    net.acre("ls", "--recursive", f"sj://{BUCKET}")
    net.acre("cp", f"{folder}/{OTHER}", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == large.read_bytes()
    net.acre("cp", f"{folder}/{OTHER}", f"{folder}/copy")
    net.acre("mv", f"{folder}/copy", f"{folder}/moved")
    shared = net.acre("share", "--readonly", f"{folder}/").text
    for args in [("cp", f"{folder}/none", tmp_path / "x"), ("ls", "sj://no-such-bucket-of-mine"), ("mb", f"sj://{BUCKET}"),
                 ("rb", f"sj://{BUCKET}")]:
        assert net.acre(*args, check=False).code != 0, args
    # Nodes that are gone in the middle of things.
    net.kill("node1")
    net.acre("cp", f"{folder}/{OTHER}", tmp_path / "back")
    net.acre("cp", large, f"{folder}/again")
    net.start("node1")
    net.acre("rm", f"{folder}/{NAME}")
    return shared


def secrets(net, shared):
    """Texts that must be nowhere, with what they are."""
    found = {"API key": net.values["ACRE_API_KEY"], "passphrase": net.values["ACRE_PASSPHRASE"],
             "grant": net.values["ACRE_ACCESS"], "bucket": BUCKET, "folder": FOLDER, "name": NAME, "other": OTHER,
             "missing bucket": "no-such-bucket-of-mine",
             "token": (satellite_dir(net) / "admin-token").read_text().strip()}
    for i, text in enumerate(re.findall(r"[0-9A-Za-z]{60,}", shared)):
        found[f"share {i}"] = text
    pieces = subprocess.run([program("acre-satellite"), "pieces", "--dir", satellite_dir(net), "--json"], check=True,
                            capture_output=True, text=True).stdout
    key = bytes.fromhex(json.loads(pieces)["encrypted_key"])
    assert len(key) > 20
    for part in key.split(b"/"):
        found[f"encrypted key {part.hex()}"] = part.hex()
        found[f"encrypted key {part.hex()}, base64"] = base64.b64encode(part).decode().rstrip("=")[:-2]
        found[f"encrypted key {part.hex()}, as it is"] = part.decode(errors="replace")
    return found


def listeners(net):
    """Addresses that are no renter's: of the satellite and the nodes."""
    found = set()
    for path in (net.dir / "net").glob("*/log"):
        for line in path.read_text(errors="replace").splitlines():
            if " serves " in line or "listens" in line:
                found.update(re.findall(r"127\.0\.0\.1:\d+", line))
    for path in (net.dir / "net").glob("*/*address"):
        found.add(path.read_text().strip())
    return found


def check_clean(net, forbidden, texts):
    known = listeners(net)
    for name, text in texts.items():
        for what, secret in forbidden.items():
            line = next((line for line in text.splitlines() if secret in line), None)
            assert line is None, f"{what} in {name}: {line}"
        for line in text.splitlines():
            strangers = set(re.findall(r"(?:127\.0\.0\.1|\[::1\]):\d+", line)) - known
            assert not strangers, f"the address of a renter in {name}: {line}"


def test_nothing_of_renters(net, tmp_path):
    shared = use(net, tmp_path)
    forbidden = secrets(net, shared)
    figures = Api(satellite_dir(net)).ok("GET", "/metrics").decode()
    texts = logs(net)
    assert "slow statement" in texts["satellite"] and "INSERT INTO objects" in texts["satellite"]
    # Statements have no values in them.
    assert not re.search(r"slow statement.*'[^'\n]*[0-9a-f]{16}", texts["satellite"])
    check_clean(net, forbidden, {**texts, "figures": figures})


def value(figures, name):
    return float(re.search(rf"^{re.escape(name)} (\S+)$", figures, re.M).group(1))


def test_figures(net, tmp_path):
    api = Api(satellite_dir(net))
    use(net, tmp_path)
    figures = api.ok("GET", "/metrics").decode()
    for line in figures.splitlines():
        assert re.fullmatch(r"# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z]+=\"[^\"]*\"(,[a-z]+=\"[^\"]*\")*\})? [-+0-9.e]+",
                            line), line
    # Batches count once, their items each.
    assert re.search(r'acre_batch_items_total\{rpc="metainfo.Metainfo/CommitObject",outcome="OK"\} [1-9]', figures)
    assert re.search(r'acre_rpc_requests_total\{rpc="contact.Node/CheckIn",outcome="OK"\} [1-9]', figures)
    assert re.search(r'outcome="NotFound"\} [1-9]', figures)
    for rpc, count in re.findall(r'acre_rpc_seconds_count\{rpc="([^"]+)"\} (\d+)', figures):
        outcomes = re.findall(rf'acre_rpc_requests_total\{{rpc="{re.escape(rpc)}",outcome="\w+"\}} (\d+)', figures)
        assert sum(map(int, outcomes)) == int(count), rpc
    assert value(figures, 'acre_nodes{state="known"}') == 6 and value(figures, "acre_connections") >= 0
    assert value(figures, 'acre_database_seconds_count{kind="write"}') > 5
    assert value(figures, "acre_database_slow_statements_total") > 50
    if BIN.parent.name == "dist":
        assert value(figures, "process_resident_memory_bytes") < 80 << 20
    # Sums over all segments come with the passes; the first waits for as long as nodes may be silent.  Three objects of
    # one segment are left.
    set_setting(satellite_dir(net), "online-window", "1s")
    restart(net)
    api = Api(satellite_dir(net))
    wait_until(lambda: "acre_objects 3" in api.ok("GET", "/metrics").decode().splitlines(), "a pass over the segments")
    figures = api.ok("GET", "/metrics").decode()
    assert value(figures, 'acre_segments{kind="remote"}') == 3 and value(figures, 'acre_segments{kind="inline"}') == 0
    assert value(figures, "acre_pieces") >= 3 * 4
    spare = sum(map(int, re.findall(r'acre_segments_by_spare_pieces\{spare="\d+"\} (\d+)', figures)))
    assert spare + value(figures, "acre_segments_lost") == 3 and value(figures, "acre_segments_injured") <= 3


def test_an_error_names_its_request(net, request):
    """What went wrong inside is not told, but its number is, and the log has it."""
    if net.database != "postgres":
        pytest.skip("SQLite cannot be stopped from outside")
    postgres = request.getfixturevalue("postgres")
    net.acre("mb", f"sj://{BUCKET}")
    postgres.stop("immediate")
    try:
        failed = net.acre("ls", f"sj://{BUCKET}", check=False, timeout=120)
        assert failed.code != 0
    finally:
        postgres.resume()
    number = re.search(r"request ([0-9a-f]{16})", failed.errors)
    assert number, failed.errors
    wait_until(lambda: f"request={number.group(1)}" in logs(net)["satellite"], "the log line")
    os.kill(net.pid("satellite"), signal.SIGHUP)
    wait_until(lambda: "settings are read again" in logs(net)["satellite"], "a reload")
    net.acre("ls", f"sj://{BUCKET}")
