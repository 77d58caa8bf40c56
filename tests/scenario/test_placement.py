"""Placements: pieces go where the bucket's rule allows, and move when the rule changes."""
import hashlib
import json
import os
import re
import struct
import subprocess

import pytest

from conftest import SLOW, Network, program
from test_repair import holders, satellite, wait_until


CONTINENTS = {"DE": "EU", "FR": "EU", "US": "NA"}


def mmdb_value(value):
    """In MaxMind's format: a control byte with type and size, then the bytes."""
    if isinstance(value, str):
        return bytes([2 << 5 | len(value)]) + value.encode()
    if isinstance(value, dict):
        return bytes([7 << 5 | len(value)]) + b"".join(mmdb_value(k) + mmdb_value(v) for k, v in value.items())
    if isinstance(value, list):
        return bytes([len(value), 11 - 7]) + b"".join(map(mmdb_value, value))
    kind, number = value  # ("u16", 4)
    code, form = {"u16": (5, ">H"), "u32": (6, ">I"), "u64": (9, ">Q")}[kind]
    data = struct.pack(form, number)
    return (bytes([code << 5 | len(data)]) if code < 8 else bytes([len(data), code - 7])) + data


def mmdb(places):
    """A database of countries of whole IPv4 addresses: a tree of bits, then the records."""
    tree, data, leaves = [[None, None]], b"", {}
    for address, country in places.items():
        bits = "".join(f"{int(part):08b}" for part in address.split("."))
        node = tree[0]
        for bit in bits[:-1]:
            if node[int(bit)] is None:
                tree.append([None, None])
                node[int(bit)] = len(tree) - 1
            node = tree[node[int(bit)]]
        if country not in leaves:
            leaves[country] = len(data)
            data += mmdb_value({"continent": {"code": CONTINENTS[country]}, "country": {"iso_code": country}})
        node[int(bits[-1])] = ("data", leaves[country])
    out = b""
    for node in tree:
        for record in node:
            value = len(tree) if record is None else record
            if isinstance(record, tuple):
                value = len(tree) + 16 + record[1]
            out += value.to_bytes(3, "big")
    about = {"node_count": ("u32", len(tree)), "record_size": ("u16", 24), "ip_version": ("u16", 4),
             "database_type": "Test-Country", "languages": ["en"], "description": {"en": "made by a test"},
             "binary_format_major_version": ("u16", 2), "binary_format_minor_version": ("u16", 0),
             "build_epoch": ("u64", 1)}
    return out + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + mmdb_value(about)


@pytest.fixture(params=["sqlite", "postgres"])
def two_countries(request, tmp_path):
    """Nodes 1 to 3 at 127.0.0.1, 4 to 6 at 127.0.0.2, which the satellite finds in two countries."""
    database = request.getfixturevalue("postgres").database() if request.param == "postgres" else None
    net = Network(tmp_path, nodes=6, rs="1/1/2/3", database=database)
    try:
        net.up()
        moved = ["node4", "node5", "node6"]
        net.kill(*moved, "satellite")
        for path in [net.dir / "net" / "dev.json"] + [net.dir / "net" / name / "config" for name in moved]:
            text = path.read_text()
            if path.name == "dev.json":
                state = json.loads(text)
                for node in state["nodes"]:
                    if node["name"] in moved:
                        node["address"] = node["address"].replace("127.0.0.1", "127.0.0.2")
                path.write_text(json.dumps(state))
            else:
                path.write_text("\n".join(line.replace("127.0.0.1", "127.0.0.2") if "address" in line else line
                                          for line in text.splitlines()) + "\n")
        yield net
    finally:
        net.down()


def countries(net):
    names = {p["address"]: p["name"] for p in net.status()["nodes"]}
    return {names.get(n["address"]): n["country"] for n in json.loads(satellite(net, "nodes", "--json").stdout)}


def refused(net, *args):
    process = subprocess.run([program("acre-satellite"), *args, "--dir", str(net.dir / "net" / "satellite")],
                             capture_output=True, text=True, check=False, timeout=60 * SLOW)
    assert process.returncode != 0
    return process.stderr


def start_with_countries(net):
    path = net.dir / "geo.mmdb"
    path.write_bytes(b"this is no database of countries")
    assert "geoip-db" in refused(net, "run", "--geoip-db", str(path))
    assert "geoip-db" in refused(net, "run", "--geoip-db", str(path) + ".missing")
    path.write_bytes(mmdb({"127.0.0.1": "DE", "127.0.0.2": "FR"}))
    with open(net.dir / "net" / "satellite" / "config", "a", encoding="utf-8") as config:
        config.write(f"\ngeoip-db = {path}\n")
    net.start("satellite", "node4", "node5", "node6")
    # The first three check in again when they are started.
    net.kill("node1", "node2", "node3")
    net.start("node1", "node2", "node3")
    wanted = {f"node{i}": "DE" if i < 4 else "FR" for i in range(1, 7)}
    wait_until(lambda: countries(net) == wanted)
    assert {node["continent"] for node in nodes_by_name(net).values()} == {"EU"}


def nodes_by_name(net):
    names = {p["address"]: p["name"] for p in net.status()["nodes"]}
    return {names.get(n["address"]): n for n in json.loads(satellite(net, "nodes", "--json").stdout)}


def reload_with(net, name, **settings):
    path = net.dir / "net" / name / "config"
    lines = [line for line in path.read_text().splitlines()
             if not re.match("#? *(" + "|".join(settings) + ") *=", line)]
    path.write_text("\n".join([*lines, *(f"{key} = {value}" for key, value in settings.items()), ""]))
    subprocess.run([program("acre-node"), "reload", "--dir", str(net.dir / "net" / name)], check=True, timeout=60 * SLOW,
                   capture_output=True)


def signed_tags(net, project, data):
    """Three nodes get a tag that the satellite signed; to a fourth another one's is worth nothing."""
    nodes, gold = nodes_by_name(net), ("node2", "node3", "node4")
    for name in gold:
        signed = satellite(net, "node", "tag", nodes[name]["id"], "tier=gold").stdout.strip()
        reload_with(net, name, **{"signed-tags": signed})
    reload_with(net, "node5", **{"signed-tags": signed})
    reload_with(net, "node6", **{"online-hours": "0:10-23:50", "upload-hours": "0:30-5:45,6-0:20"})
    wait_until(lambda: all("tier=gold" in nodes_by_name(net)[name]["tags"] for name in gold))
    wait_until(lambda: any(tag.startswith("@hours=") for tag in nodes_by_name(net)["node6"]["tags"]))
    tags = nodes_by_name(net)["node6"]["tags"]
    assert any(re.fullmatch(r"@hours=\d+:\d\d-\d+:\d\d", tag) for tag in tags), tags
    assert any(re.fullmatch(r"@upload-hours=\d+:\d\d-\d+:\d\d,\d+:\d\d-\d+:\d\d", tag) for tag in tags), tags
    assert not any("gold" in tag for tag in nodes_by_name(net)["node5"]["tags"])
    assert "want NAME=VALUE" in refused(net, "placement", "set", "--placement", "8", "--name", "x", "--tags", "gold")
    satellite(net, "placement", "set", "--placement", "8", "--name", "gold", "--tags", "tier=gold")
    net.acre("mb", "sj://gold")
    satellite(net, "bucket", "set", "--project", project, "--bucket", "gold", "--placement", "8")
    wait_until(lambda: net.acre("cp", "-", "sj://gold/a", input=data, check=False).code == 0)
    names = {p["address"]: p["name"] for p in net.status()["nodes"]}
    pieces = json.loads(satellite(net, "pieces", "--bucket", "gold", "--json").stdout)["segments"][0]["pieces"]
    assert {names[piece["address"]] for piece in pieces} <= set(gold)
    net.acre("rb", "--force", "sj://gold")
    satellite(net, "placement", "remove", "--placement", "8")


def by_node(net, project, data):
    """A rule by continent, operator and price: what nodes declare decides, and moves what is there when it changes."""
    cheap, ours = ("node1", "node2", "node5"), ("node2", "node4", "node5")
    for name in cheap:
        reload_with(net, name, **{"self-signed-tags": "storage_price=1.20, egress_price=5e-1"})
    for name in ours:
        reload_with(net, name, wallet="0xAb12")
    wait_until(lambda: all("@storage_price=1.20" in nodes_by_name(net)[name]["tags"] for name in cheap))
    for wrong, why in (("--continents=DE", "AF, AN"), ("--operators=a b", "wallets"), ("--max-storage-price=0", "none"),
                       ("--max-egress-price=x", "no dollars")):
        assert why in refused(net, "placement", "set", "--placement", "10", "--name", "x", wrong)
    # A satellite that runs may still go by the rule that number 8 was a moment ago.
    satellite(net, "placement", "set", "--placement", "10", "--name", "cheap", "--continents", "EU,!AF",
              "--max-storage-price", "1.20", "--max-egress-price", "0.50")
    net.acre("mb", "sj://cheap")
    satellite(net, "bucket", "set", "--project", project, "--bucket", "cheap", "--placement", "10")
    wait_until(lambda: net.acre("cp", "-", "sj://cheap/a", input=data, check=False).code == 0)

    def pieces():
        names = {p["address"]: p["name"] for p in net.status()["nodes"]}
        segments = json.loads(satellite(net, "pieces", "--bucket", "cheap", "--json").stdout)["segments"]
        return {names[piece["address"]] for piece in segments[0]["pieces"]}
    assert pieces() <= set(cheap)
    # Whose they are counts, too; then what a node asks for.
    satellite(net, "placement", "set", "--placement", "10", "--name", "cheap", "--operators", "0xaB12")
    wait_until(lambda: len(pieces()) >= 2 and pieces() <= set(ours))
    satellite(net, "placement", "set", "--placement", "10", "--name", "cheap", "--operators", "!0xaB12",
              "--max-storage-price", "1.30")
    failed = net.acre("cp", "-", "sj://cheap/b", input=data, check=False)
    assert failed.code == 0 or "not enough nodes" in failed.errors, failed.errors
    assert satellite(net, "placement", "list").stdout.count("operators !0xaB12  storage at most 1.300000") == 1
    satellite(net, "placement", "set", "--placement", "10", "--name", "cheap", "--continents", "!EU")
    wait_until(lambda: net.acre("cp", "-", "sj://cheap/c", input=data, check=False).code != 0)
    assert hashlib.sha256(net.acre("cat", "sj://cheap/a").out).digest() == hashlib.sha256(data).digest()
    satellite(net, "check")
    net.acre("rb", "--force", "sj://cheap")
    satellite(net, "placement", "remove", "--placement", "10")


def test_pieces_stay_in_their_country(two_countries):
    net = two_countries
    german, french = {"node1", "node2", "node3"}, {"node4", "node5", "node6"}
    start_with_countries(net)
    satellite(net, "placement", "set", "--placement", "7", "--name", "home", "--countries", "de")
    project = json.loads(satellite(net, "project", "list", "--json").stdout)[0]["name"]
    satellite(net, "project", "set", "--project", project, "--placement", "7")
    assert "no placement 8" in refused(net, "project", "set", "--project", project, "--placement", "8")
    data = os.urandom(300_000)
    # A satellite that runs knows both within its caches' time.
    net.acre("mb", "sj://early")
    satellite(net, "bucket", "set", "--project", project, "--bucket", "early", "--placement", "7")
    wait_until(lambda: net.acre("cp", "-", "sj://early/a", input=data, check=False).code == 0)
    assert set(holders(net)[0]) <= german
    assert "not empty" in refused(net, "bucket", "set", "--project", project, "--bucket", "early", "--placement", "0")
    assert "of two letters" in refused(net, "placement", "set", "--placement", "7", "--name", "home", "--countries", "X")

    # The rule changes: what there is moves.
    satellite(net, "placement", "set", "--placement", "7", "--name", "home", "--countries", "EU,!DE")
    wait_until(lambda: set(holders(net)[0]) <= french)
    assert len(holders(net)[0]) >= 2
    assert hashlib.sha256(net.acre("cat", "sj://early/a").out).digest() == hashlib.sha256(data).digest()
    wait_until(lambda: json.loads(satellite(net, "repair", "list", "--json").stdout)["waiting"] == 0)
    satellite(net, "check")
    assert "placement 7 is that of" in refused(net, "placement", "remove", "--placement", "7")

    signed_tags(net, project, data)
    by_node(net, project, data)

    # One that no node fulfils is said, and a number without a bucket goes.
    satellite(net, "placement", "set", "--placement", "9", "--name", "away", "--countries", "US")
    net.acre("mb", "sj://away")
    satellite(net, "bucket", "set", "--project", project, "--bucket", "away", "--placement", "9")
    failed = net.acre("cp", "-", "sj://away/a", input=data, check=False)
    assert failed.code != 0 and "not enough nodes" in failed.errors, failed.errors
    net.acre("rb", "--force", "sj://away")
    satellite(net, "placement", "remove", "--placement", "9")
    assert [p["number"] for p in json.loads(satellite(net, "placement", "list", "--json").stdout)] == [7]
