"""Nodes that send wrong bytes: the file comes out right, and the user is told which nodes it was."""
import json
import random
import re
import subprocess

import pytest

from conftest import program
from faults import Faults


@pytest.fixture(scope="module")
def faults(tmp_path_factory):
    f = Faults(tmp_path_factory.mktemp("wrong"), 10, 1)
    try:
        f.up()
        yield f
    finally:
        f.down()


@pytest.mark.parametrize("liars", [1, 2])
def test_wrong_shares_are_named(faults, tmp_path, liars):
    """4 of 8 pieces are enough; eight at hand tell up to two wrong ones."""
    net, data = faults.net, random.Random(liars).randbytes(3_000_000)
    bucket = f"wrong-{liars}"
    net.acre("mb", f"sj://{bucket}")
    # An upload starts 8 pieces: the liars shall be among them.
    faults.plan(faults.names[8:], "up.refuse 100")
    net.acre("cp", "-", f"sj://{bucket}/file", input=data)
    faults.heal()
    faults.plan(faults.names[2:2 + liars], "down.wrong 100")
    named = set()
    try:
        # Which nodes are asked is chance; sooner or later a liar is among them.
        for i in range(20):
            target = tmp_path / f"file{i}"
            result = net.acre("cp", "--log-level", "warn", f"sj://{bucket}/file", target)
            assert target.read_bytes() == data
            found = set(re.findall(r"node (\w+) sent wrong data, it is worked around", result.errors))
            assert found == set(re.findall(r"node=(\w+)", result.errors))
            named |= found
            if named:
                break
    finally:
        faults.heal()
    status = [json.loads(subprocess.run([program("acre-node"), "status", "--json", "--dir", str(faults.peer(name))],
                                        capture_output=True, check=True, timeout=60).stdout)
              for name in faults.names[2:2 + liars]]
    assert named and named <= {s["nodes"][0]["id"] for s in status}
