"""Audits with real processes: pieces rotten on disk, lost, refused, held back, nodes frozen and gone, each with
the outcome that is right for it; and the satellite auditing by itself."""
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from conftest import BIN, ROOT, SLOW, Network, program

FAULTY = ROOT / BIN.parent.name.replace("dist", "build", 1) / "tests" / "fault" / "faulty-node"
SIZE = 4 << 20  # a segment whose pieces have a file of the node for themselves


class Audited:
    def __init__(self, directory, database, settings):
        programs = Path(directory) / "bin"
        programs.mkdir()
        for name in ("acre", "acre-satellite"):
            shutil.copy(BIN / name, programs / name)
        shutil.copy(FAULTY, programs / "acre-node")
        self.net = Network(directory, database=database, bin=programs)
        self.net.up()
        self.net.down()
        self.satellite_dir = self.net.dir / "net" / "satellite"
        with open(self.satellite_dir / "config", "a") as config:
            config.write("\n" + "\n".join(settings) + "\n")
        self.net.acre("dev", "up", "--dir", self.net.dir / "net", timeout=120)

    def satellite(self, *args):
        process = subprocess.run([program("acre-satellite", self.net.bin), *args[:2], "--dir", self.satellite_dir, "--json",
                                  *args[2:]], capture_output=True, text=True, check=False, timeout=120 * SLOW)
        assert process.returncode == 0, process.stderr
        return json.loads(process.stdout)

    def upload(self, name):
        self.data = random.Random(name).randbytes(SIZE)
        self.net.acre("mb", "sj://audit")
        self.net.acre("cp", "-", f"sj://audit/{name}", input=self.data)
        return name

    def holders(self):
        """Directories of the nodes that hold a piece of the newest object, by ID."""
        process = subprocess.run([program("acre-satellite", self.net.bin), "pieces", "--dir", self.satellite_dir, "--json"],
                                 capture_output=True, text=True, check=True, timeout=60)
        pieces = json.loads(process.stdout)["segments"][0]["pieces"]
        names = {}
        for node in self.net.status()["nodes"]:
            names[node["address"]] = node["name"]
        return {p["node"]: names[p["address"]] for p in pieces}

    def audit(self):
        reports = self.satellite("audit", "run", "--all")
        assert len(reports) == 1, reports
        assert reports[0]["verdict"] == "done", reports
        return {n["node"]: n for n in reports[0]["nodes"]}

    def outcomes(self):
        return {node: n["outcome"] for node, n in self.audit().items()}

    def plan(self, name, line):
        path = self.net.dir / "net" / name / "fault"
        if line:
            path.write_text(f"seed 1\n{line}\n")
        else:
            path.unlink()

    def show(self, node):
        return self.satellite("node", "show", node)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def by_hand(request, tmp_path_factory):
    """Nothing happens but what the test asks for."""
    database = request.getfixturevalue("postgres").database() if request.param == "postgres" else None
    audited = None
    directory = tmp_path_factory.mktemp("audit")
    try:
        audited = Audited(directory, database, ["audit-workers = 0", f"audit-timeout = {min(4 * SLOW, 6)}s", "segment-loop-interval = 0s"])
        yield audited
    finally:
        if audited:
            audited.net.down()


def rot(directory):
    """Flips a byte in every 128 of the middle of the largest file, in place, while the node runs."""
    path = max((p for p in directory.rglob("*") if p.is_file()), key=lambda p: p.stat().st_blocks)
    size = path.stat().st_blocks * 512
    with open(path, "r+b") as f:
        for at in range(size // 10, size * 9 // 10, 128):
            f.seek(at)
            byte = f.read(1)
            f.seek(at)
            f.write(bytes([byte[0] ^ 0x55]) if byte else b"")


def test_each_gets_what_it_deserves(by_hand):
    a = by_hand
    a.upload("file")
    holders = a.holders()
    rotten, lost, broken, slow, frozen, gone = list(holders)[:6]
    everyone = a.outcomes()
    assert set(everyone) == set(holders) and set(everyone.values()) == {"success"}, everyone

    # Rotten on disk: found by comparing, told so, and off the list.
    rot(a.net.dir / "net" / holders[rotten] / "storage")
    # A random stripe is asked for, and the ends of the piece are whole.
    for _ in range(20):
        result = a.audit()
        if result[rotten]["outcome"] != "success":
            break
    assert result[rotten]["outcome"] == "failure", result
    assert [n for n in result if result[n]["outcome"] != "success"] == [rotten]
    assert rotten not in a.audit()
    shown = a.show(rotten)
    assert shown["audit_score"] == 0.999 and len(shown["failed_audits"]) == 1, shown
    assert "stored" in shown["failed_audits"][0]["detail"]

    # It says itself that it has lost it.
    a.plan(holders[lost], "down.missing 100")
    assert a.outcomes()[lost] == "failure"
    a.plan(holders[lost], None)
    assert lost not in a.audit()

    # Trouble of its own: no word about the piece, which stays.
    a.plan(holders[broken], "down.refuse 100")
    assert a.outcomes()[broken] == "unknown"
    a.plan(holders[broken], None)
    assert a.outcomes()[broken] == "success"
    shown = a.show(broken)
    assert shown["audit_score"] == 1 and shown["unknown_score"] < 1, shown

    # It takes the request and says nothing: left alone until it has answered for the whole piece.
    a.plan(holders[slow], "down.stall 100")
    assert a.outcomes()[slow] == "contained"
    assert slow not in a.audit()
    assert [c["node"] for c in a.satellite("audit", "list")["contained"]] == [slow]
    a.plan(holders[slow], None)
    again = a.satellite("audit", "run", "--contained")
    assert [(n["node"], n["outcome"]) for n in again] == [(slow, "success")]
    assert a.satellite("audit", "list")["contained"] == []
    assert a.outcomes()[slow] == "success"
    assert a.show(slow)["audit_score"] == 1

    # Frozen and gone: offline, which is no fault of the piece.
    pid = a.net.pid(holders[frozen])
    os.kill(pid, signal.SIGSTOP)
    try:
        a.net.kill(holders[gone])
        result = a.outcomes()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert result[frozen] == "offline" and result[gone] == "offline", result
    a.net.start(holders[gone])
    result = a.outcomes()
    assert result[frozen] == "success" and result[gone] == "success", result
    for node in (frozen, gone):
        shown = a.show(node)
        assert shown["audit_score"] == 1 and shown["unknown_score"] == 1, shown
        assert [r["outcome"] for r in shown["failed_audits"]] == ["offline"]

    # The file was never in danger.
    assert a.net.acre("cp", "sj://audit/file", "-").out == a.data


def test_out_and_back(by_hand):
    a = by_hand
    node = a.satellite("node", "list")[0]["id"]
    for command, state in (("disqualify", "disqualified"), ("reinstate", "vetted")):
        process = subprocess.run([program("acre-satellite", a.net.bin), "node", command, "--dir", a.satellite_dir, node],
                                 capture_output=True, text=True, check=False, timeout=60)
        assert process.returncode == 0, process.stderr
        shown = a.show(node)
        assert shown["state"] in (state, "new" if state == "vetted" else state), shown
    process = subprocess.run([program("acre-satellite", a.net.bin), "node", "show", "--dir", a.satellite_dir, "nobody"],
                             capture_output=True, text=True, check=False, timeout=60)
    assert process.returncode == 2 and "node list" in process.stderr


def test_by_itself(tmp_path):
    """Every node that holds something is audited by the pass over the segments, and vetted by it.  The first pass
    waits until nodes had time to check in; here it is asked for."""
    a = Audited(tmp_path, None, ["audit-interval = 1s", "segment-loop-interval = 1s"])
    try:
        a.upload("file")
        holders = set(a.holders())
        with sqlite3.connect(a.satellite_dir / "satellite.db", timeout=30) as db:
            db.execute("UPDATE chores SET requests = requests + 1 WHERE name = 'segment-loop'")
        deadline = time.monotonic() + 60 * SLOW
        audited = set()
        while not holders <= audited:
            assert time.monotonic() < deadline, a.net.log("satellite")
            nodes = a.satellite("node", "list")
            audited = {n["id"] for n in nodes if n["audits_passed"] and n["state"] == "vetted"}
            time.sleep(0.2)
        assert all(n["audits"] == n["audits_passed"] for n in nodes), nodes
    finally:
        a.net.down()
