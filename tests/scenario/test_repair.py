"""Nodes die for good: what they had is made anew on others, again and again, and nothing is lost."""
import hashlib
import json
import os
import subprocess
import time

import pytest

from conftest import SLOW, Network, program

NOTHING = {"waiting": 0, "failing": 0, "lost": 0, "segments": []}


@pytest.fixture(params=["sqlite", "postgres"])
def wide_network(request, tmp_path):
    database = request.getfixturevalue("postgres").database() if request.param == "postgres" else None
    net = Network(tmp_path, nodes=16, database=database)
    try:
        yield net.up()
    finally:
        net.down()


def satellite(net, *args, timeout=120):
    process = subprocess.run([program("acre-satellite"), *args, "--dir", str(net.dir / "net" / "satellite")],
                             capture_output=True, text=True, check=False, timeout=timeout * SLOW)
    assert process.returncode == 0, process.stderr
    return process


def queue(net):
    return json.loads(satellite(net, "repair", "list", "--json").stdout)


def upload(net, sizes):
    net.acre("mb", "sj://bucket")
    sums = {}
    for i, size in enumerate(sizes):
        data = os.urandom(size)
        net.acre("cp", "-", f"sj://bucket/{i}", input=data)
        sums[f"sj://bucket/{i}"] = hashlib.sha256(data).hexdigest()
    return sums


def all_there(net, sums):
    for name, digest in sums.items():
        data = net.acre("cat", name, timeout=120).out
        assert hashlib.sha256(data).hexdigest() == digest, name


def holders(net):
    """Names of the nodes that have pieces of the largest object, in one list per segment."""
    names = {p["address"]: p["name"] for p in net.status()["nodes"]}
    pieces = json.loads(satellite(net, "pieces", "--largest", "--json").stdout)
    return [[names[piece["address"]] for piece in segment["pieces"]] for segment in pieces["segments"]]


def repair(net, check=True):
    return net.acre("dev", "repair", "--wait", "--dir", net.dir / "net", check=check, timeout=180)


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds * SLOW
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.1)


def test_generations_of_nodes_die(wide_network):
    """Half of the nodes, a few at a time: more pieces of a segment are gone than its code could stand."""
    net = wide_network
    sums = upload(net, [9_000_000, 200_000, 3_000_000, 100, 5_000])
    dead = []

    def replaced():
        assert "Every segment has all the pieces" in repair(net).text
        # One that has more pieces than it should may keep a dead one on its list.
        return all(len(set(segment) - set(dead)) >= 8 for segment in holders(net))
    for doomed in (["node1", "node2", "node3"], ["node4", "node5", "node6"], ["node7", "node8"]):
        net.kill(*doomed)
        dead += doomed
        # They count as dead once they were silent for a while.
        wait_until(replaced)
        all_there(net, sums)
    satellite(net, "check")
    assert queue(net) == NOTHING
    chores = {c["name"]: c for c in json.loads(satellite(net, "chores", "--json").stdout)}
    assert chores["segment-loop"]["runs"] > 0 and chores["segment-loop"]["error"] == ""
    assert chores["repair"]["error"] == ""
    # They come back with pieces that nobody lists any more: no harm.
    net.start(*dead)
    all_there(net, sums)


def test_what_cannot_be_repaired_is_said(tmp_path):
    """As many nodes are left as give the segment back: no place for more.  One fewer: lost until one returns."""
    net = Network(tmp_path, nodes=10)
    try:
        net.up()
        sums = upload(net, [300_000])
        left = holders(net)[0][:4]
        gone = [f"node{i}" for i in range(1, 11) if f"node{i}" not in left]
        net.kill(*gone)
        wait_until(lambda: queue(net)["waiting"] == 1)
        result = repair(net, check=False)
        assert result.code != 0
        assert "no node is left that could take one" in result.text, result.text + result.errors
        all_there(net, sums)
        net.kill(left[0])
        wait_until(lambda: queue(net)["lost"] == 1)
        result = repair(net, check=False)
        assert result.code != 0 and "LOST unless nodes come back" in result.text, result.text + result.errors
        net.start(left[0], *gone)
        wait_until(lambda: queue(net) == NOTHING)
        all_there(net, sums)
    finally:
        net.down()
