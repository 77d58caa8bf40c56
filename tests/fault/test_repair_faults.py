"""Repair among nodes that lie, have lost their piece, are slow or take nothing: what it makes is right all the same,
and who has no piece leaves the list."""
import json
import random
import subprocess
import time

import pytest

from conftest import SLOW, program
from faults import Faults

NODES = 16


@pytest.fixture
def faults(tmp_path):
    f = Faults(tmp_path, NODES, 7)
    try:
        f.up(chores=True)
        yield f
    finally:
        f.down()


def node_ids(faults):
    ids = {}
    for name in faults.names:
        status = subprocess.run([program("acre-node"), "status", "--json", "--dir", str(faults.peer(name))],
                                capture_output=True, check=True, timeout=60 * SLOW)
        ids[json.loads(status.stdout)["nodes"][0]["id"]] = name
    return ids


def holders(faults, ids):
    """Names of the nodes with pieces, of the one segment there is."""
    out = subprocess.run([program("acre-satellite"), "pieces", "--json", "--dir", str(faults.dir / "net" / "satellite")],
                         capture_output=True, check=True, timeout=60 * SLOW).stdout
    return [ids[p["node"]] for p in json.loads(out)["segments"][0]["pieces"]]


def test_repair_among_liars(faults):
    net, data = faults.net, random.Random(7).randbytes(1_500_000)
    net.acre("mb", "sj://repair")
    net.acre("cp", "-", "sj://repair/file", input=data)
    ids = node_ids(faults)
    had = holders(faults, ids)
    free = [name for name in faults.names if name not in had]
    wrong, missing, honest, doomed = had[0], had[1], had[2:6], had[6:]
    faults.plan([wrong], "down.wrong 100")
    faults.plan([missing], "down.missing 100")
    faults.plan(honest, "down.pause 100 300")
    faults.plan(free[:2], "up.refuse 100")
    net.kill(*doomed)

    def repaired():
        net.acre("dev", "repair", "--wait", "--dir", net.dir / "net", check=False, timeout=120)
        now = set(holders(faults, ids))
        # Those that lie leave if they were among the four that were asked.
        return len(now - {wrong, missing}) >= 6 and len(now) >= 8 and not now & {*doomed, *free[:2]}
    end = time.monotonic() + 180 * SLOW
    while not repaired():
        assert time.monotonic() < end, f"{holders(faults, ids)} of {had}"
    faults.heal()
    # What repair made must do, with at most the liars' own.
    net.kill(*honest)
    assert net.acre("cat", "sj://repair/file", timeout=120).out == data
