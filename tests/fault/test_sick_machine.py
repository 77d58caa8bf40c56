"""A node on a machine that is not well (sick_node.c): clock, read-only and slow disk; and a disk that shrinks, for real.
Each time it says what is wrong, serves what it can, never answers "not found", and goes on by itself when all is well."""
import json
import random
import shutil
import subprocess
import time

import pytest

from conftest import BIN, SLOW, Network, program
from faults import PROGRAMS

DATA = random.Random(5).randbytes(400_000)


class Sick:
    def __init__(self, directory):
        programs = directory / "bin"
        programs.mkdir()
        for name in ("acre", "acre-satellite"):
            shutil.copy(BIN / name, programs / name)
        shutil.copy(PROGRAMS / "sick-node", programs / "acre-node")
        self.net = Network(directory, nodes=1, rs="1/1/1/1", bin=programs)
        self.dir = directory / "net" / "node1"
        self.plan = self.dir / "sick"
        self.net.env["ACRE_SICK"] = str(self.plan)

    def is_now(self, *lines):
        new = self.plan.with_suffix(".new")
        new.write_text("".join(line + "\n" for line in lines))
        new.rename(self.plan)

    def status(self):
        done = subprocess.run([program("acre-node"), "status", "--json", "--dir", self.dir], capture_output=True,
                              check=True, timeout=60)
        return json.loads(done.stdout)["nodes"][0]

    def worries(self):
        return " ".join(w["what"] for w in self.status()["worries"])

    def put(self, name, check=True):
        return self.net.acre("cp", "-", f"sj://sick/{name}", input=DATA, check=check, timeout=120)

    def put_in_vain(self, until):
        """The client tries for a while; what it does to the node is seen sooner."""
        process = subprocess.Popen([program("acre", self.net.bin), "cp", self.dir / "data", "sj://sick/refused"],
                                   env=self.net.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(until)
            assert process.poll() != 0
        finally:
            process.kill()
            process.wait()

    def get(self, name="old", check=True):
        result = self.net.acre("cat", f"sj://sick/{name}", check=check, timeout=120)
        assert not check or result.out == DATA
        return result


def wait_until(what, seconds=60):
    end = time.monotonic() + seconds * SLOW
    while not what():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def sick(tmp_path_factory):
    machine = Sick(tmp_path_factory.mktemp("sick"))
    try:
        machine.net.up()
        machine.net.acre("mb", "sj://sick")
        (machine.dir / "data").write_bytes(DATA * 8)
        machine.put("old")
        yield machine
    finally:
        machine.net.down()


@pytest.fixture(autouse=True)
def well_again(sick):
    yield
    sick.is_now()


def process_lives(sick):
    return sick.net.pid("node1")


def test_clock(sick):
    pid = process_lives(sick)
    sick.is_now("clock 7200")
    wait_until(lambda: "clock is wrong" in sick.worries())
    said = next(s["error"] for s in sick.status()["satellites"])
    assert "120 minutes ahead" in said or "clock" in said
    assert sick.get(check=False).code != 0
    sick.is_now()
    wait_until(lambda: "clock" not in sick.worries() and sick.status()["satellites"][0]["state"] == "ok")
    sick.get()
    wait_until(lambda: sick.put("new", check=False).code == 0)
    assert process_lives(sick) == pid and "clock is right again" in sick.net.log("node1")


def test_read_only(sick):
    sick.is_now("read-only 1")
    sick.put_in_vain(lambda: sick.status()["store"] == "served, no uploads")
    assert "cannot be written to" in sick.worries() and sick.status()["available"] == 0
    sick.get()
    sick.is_now()
    wait_until(lambda: sick.status()["store"] == "ready")
    sick.put("writable")
    sick.get("writable")


def test_slow(sick):
    """Slower than an audit waits: offline, until it answers again.  The failed write makes it look now."""
    sick.is_now("slow 9000", "read-only 1")
    sick.put_in_vain(lambda: sick.status()["store"] == "does not answer")
    assert "does not answer in time" in sick.worries()
    refused = sick.get(check=False)
    assert refused.code != 0 and "not found" not in refused.errors.lower(), refused.errors
    sick.is_now()
    wait_until(lambda: sick.status()["store"] == "ready")
    sick.get()


def test_shrinks(sick, tmp_path):
    """Others fill the disk: what is there is served, nothing is taken, and the figures say it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6g", "tmpfs", disk], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("CANNOT MOUNT A TMPFS HERE (needs root): " + done.stderr.decode(errors="replace").strip())
    storage, kept = sick.dir / "storage", sick.dir / "kept"
    try:
        sick.net.kill("node1")
        storage.rename(kept)
        shutil.copytree(kept, disk / "storage")
        storage.symlink_to(disk / "storage")
        with open(sick.dir / "config", "a") as config:
            config.write("\nspace = 6GB\nfree-reserve = 0\n")
        sick.net.start("node1")
        wait_until(lambda: sick.put("roomy", check=False).code == 0)
        subprocess.run(["mount", "-o", "remount,size=3m", disk], check=True)
        (disk / "others").write_bytes(bytes(1 << 20))
        wait_until(lambda: "smaller than the space set" in sick.worries())
        sick.put_in_vain(lambda: "upload refused" in sick.net.log("node1"))
        status = sick.status()
        assert status["available"] < 2 << 20 and status["used"] <= 3 << 20
        sick.get()
        sick.get("roomy")
        subprocess.run(["mount", "-o", "remount,size=6g", disk], check=True)
        sick.put("again")
    finally:
        sick.net.kill("node1")
        subprocess.run(["umount", "-l", disk], check=True)
        if kept.exists():
            storage.unlink(missing_ok=True)
            kept.rename(storage)
