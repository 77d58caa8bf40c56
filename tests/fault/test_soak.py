"""A soak: clients upload, read, delete and let objects expire, satellites' filters make trash of what is deleted,
the trash is emptied, logs are compacted, all of it sped up (soak_node.c), and nodes are killed with SIGKILL at any
moment, for minutes or hours.  All along and afterwards

- every acknowledged object is whole, what was deleted or expired is gone;
- each node's figures are those of a full count of its entries and of its files;
- every piece that a segment names is on its node, whole, and little else is;
- the memory of nodes that were never killed, and of the satellite, does not grow, nor do their disks.

    SOAK_SECONDS    of load and kills (300; 7200 with ACRE_FULL=1, which scripts/test --full sets)
    SOAK_SEED       instead of one by chance
"""
import collections
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest

from conftest import BIN, SLOW, Network, program
from faults import CODE_NEEDED, PROGRAMS, SHARE, Driver, clear_error, piece_list, process_stats, wait_until

pytestmark = pytest.mark.soak

SECONDS = int(os.environ.get("SOAK_SECONDS", "7200" if os.environ.get("ACRE_FULL") else "300"))
SEED = int(os.environ.get("SOAK_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
NODES, PARALLEL, OBJECTS_MAX = 10, 3, 120
SPARED = 2  # nodes that are never killed, so that their memory can be watched
SIZES = [(4097, 30_000), (4097, 60_000), (60_000, 400_000), (400_000, 1_500_000), (1_500_000, 4_000_000)]
EXPIRES = 12  # seconds
PACE = 0.35  # between two transfers, at most
LOOK_SECONDS = 10
CODE_STORED = 8
# What a process may gain between the first quarter of the run and its end: what is not freed grows with
# the work, and there are at least 20 times as many pieces as these bytes.
GROWTH_KIB = 6 << 10 if SLOW == 1 else 200 << 10
SATELLITE = """
gc-interval = 7s
gc-margin = 20s
audit-workers = 0
repair-workers = 0
"""
NODE = """
retain-skew = 0s
segment-size = 4MiB
index-memory = 1MiB
recent-memory = 5MiB
free-reserve = 0
compact-rate = 64MiB
scrub-rate = 16MiB
"""


class Soak:
    def __init__(self, directory):
        self.random, self.dir = random.Random(SEED), directory
        programs = directory / "bin"
        programs.mkdir()
        for name, source in (("acre", BIN / "acre"), ("acre-node", PROGRAMS / "soak-node"),
                             ("acre-satellite", BIN / "acre-satellite")):
            shutil.copy(source, programs / name)
        self.net = Network(directory, nodes=NODES, bin=programs)
        self.names = [f"node{i + 1}" for i in range(NODES)]
        self.objects, self.passing, self.gone = {}, {}, set()  # key: (size, seed); those and until when; keys
        self.unsure = set()  # of uploads and deletions that failed: may be there or not
        self.active, self.count = {}, 0
        self.done, self.errors = collections.Counter(), []
        self.memory = collections.defaultdict(list)
        self.begun, self.driver = time.monotonic(), None

    def log(self, text):
        print(f"{time.monotonic() - self.begun:7.1f} {text}", flush=True)

    def peer(self, name):
        return self.net.dir / "net" / name

    def up(self):
        net = self.net.up()
        net.down()
        for name in self.names:
            with open(self.peer(name) / "config", "a") as config:
                config.write(NODE)
        with open(self.peer("satellite") / "config", "a") as config:
            config.write(SATELLITE)
        net.acre("dev", "up", "--dir", net.dir / "net", timeout=120)
        net.acre("mb", "sj://soak")
        self.driver = Driver(self.dir, {k: v for k, v in os.environ.items() if not k.startswith("ACRE_")})
        self.driver.open(net.env["ACRE_ACCESS"])
        self.satellite_id = net.values["ACRE_SATELLITE"].split("@")[0]
        self.node_hex = {}
        for i, name in enumerate(self.names):
            address = net.status()["nodes"][i]["address"]
            with self.database() as db:
                self.node_hex[name] = db.execute("SELECT id FROM nodes WHERE address = ?", [address]).fetchone()[0].hex()

    def database(self):
        return sqlite3.connect(f"file:{self.peer('satellite') / 'satellite.db'}?mode=ro", uri=True, timeout=30)

    # ---- load ----

    def begin(self):
        draw, idle = self.random.random(), [k for k in self.objects if k not in self.active]
        self.count += 1
        if idle and draw < 0.35:
            key = self.random.choice(idle)
            verb, what = "get", self.objects[key]
            line = f"get {key} soak {key} {what[0]} {what[1]} 0 -1"
        elif idle and draw < (0.5 if len(self.objects) < OBJECTS_MAX else 0.85):
            key = self.random.choice(idle)
            verb, what, line = "rm", self.objects[key], f"rm {key} soak {key}"
        else:
            key = f"{self.count:07}"
            expires = EXPIRES if self.random.random() < 0.3 else 0
            verb, what = "passing" if expires else "put", (self.random.randint(*self.random.choice(SIZES)), self.count)
            line = f"put {key} soak {key} {what[0]} {what[1]} 0 {expires}"
        self.active[key] = (verb, what, time.monotonic())
        self.driver.send(line)

    def ended(self, answer):
        key, result, text = (answer.split(" ", 2) + [""])[:3]
        verb, what, _ = self.active.pop(key)
        assert result != "wrong", f"{verb} of {key} {what} gave wrong bytes: {text}"
        ok = result == "ok"
        self.done[verb if ok else f"{verb} failed"] += 1
        if not ok:
            clear_error(text)
            self.errors.append(f"{verb} {key}: {text}")
        if verb == "put" and ok:
            self.objects[key] = what
        elif verb == "passing" and ok:
            self.passing[key] = time.monotonic() + EXPIRES
        elif verb == "rm":
            del self.objects[key]
            (self.gone if ok else self.unsure).add(key)
        elif verb != "get":
            self.unsure.add(key)

    def pump(self, seconds, load=True):
        """Transfers for so long; without load only until those that run have ended."""
        end, due = time.monotonic() + seconds, 0
        while time.monotonic() < end and (load or self.active):
            if load and len(self.active) < PARALLEL and time.monotonic() >= due:
                self.begin()
                due = time.monotonic() + self.random.uniform(0, PACE)
            if not self.driver.answers.empty():
                self.ended(self.driver.answer(1))
            else:
                time.sleep(0.01)
            for key, job in self.active.items():
                assert time.monotonic() - job[2] < 90 * SLOW, f"never ends: {key} {job}"
        if not load:
            assert not self.active, self.active

    # ---- kills, and what is looked at meanwhile ----

    def kill(self):
        name = self.random.choice(self.names[SPARED:])
        pid = self.net.pid(name)
        os.kill(pid, signal.SIGKILL)
        wait_until(f"{name} ended", lambda: not self.net.pid(name))
        self.done["kill -9"] += 1
        # Now and then its entries are counted before it starts again, as the kill left them.
        if self.done["kill -9"] % 5 == 0:
            self.count_pieces(name, [])
        self.net.start(name)

    def look(self):
        for process in [self.net.status()["satellite"], *self.net.status()["nodes"][:SPARED]]:
            assert process["running"], f"{process['name']} ended"
            self.memory[process["name"]].append(process_stats(process["pid"])["rss"])
        now = time.monotonic()
        self.gone.update(k for k, until in self.passing.items() if until < now)
        self.passing = {k: until for k, until in self.passing.items() if until >= now}

    def run(self):
        end = time.monotonic() + SECONDS
        looked = kill = time.monotonic()
        while time.monotonic() < end:
            self.pump(0.5)
            if time.monotonic() > kill:
                self.kill()
                kill = time.monotonic() + self.random.uniform(1, 6)
            if time.monotonic() - looked > LOOK_SECONDS:
                self.look()
                looked = time.monotonic()
            if time.monotonic() - self.begun > 60 * (1 + self.done["reports"]):
                self.done["reports"] += 1
                self.log(f"{len(self.objects)} objects, {dict(self.done)}, memory {[m[-1] for m in self.memory.values()]}")

    # ---- what must hold ----

    def status(self, name):
        run = subprocess.run([program("acre-node"), "status", "--json", "--dir", self.peer(name)], capture_output=True,
                             check=True, timeout=60 * SLOW)
        return json.loads(run.stdout)["nodes"][0]

    def count_pieces(self, name, pieces):
        """The figures of a stopped node; they must be those of a full count."""
        run = subprocess.run([PROGRAMS / "piece-check", self.peer(name) / "storage", self.node_hex[name],
                              self.satellite_id, "all"], input="\n".join(pieces), capture_output=True, text=True,
                             check=False, timeout=300 * SLOW)
        assert run.returncode == 0 and not run.stderr, f"{name}: {run.stderr}"
        words = run.stdout.split()
        found = dict(zip(words[::2], map(int, words[1::2])))
        for figure in ("pieces", "live", "trash", "trash-pieces"):
            assert found[figure] == found[f"counted-{figure}"], f"{name} says {figure} of {found}"
        files = sum(f.stat().st_size for f in (self.peer(name) / "storage" / "pieces").glob("*.log"))
        assert found["used"] <= files + 4096 * NODES, (name, found, files)
        assert found["live"] + found["trash"] <= found["used"], (name, found)
        assert found["missing"] == 0, (name, found)
        return found

    def check_objects(self):
        """What was acknowledged is listed and whole, and what was deleted or expired is not."""
        listed = {o["key"] for o in self.net.acre("ls", "-r", "--output", "json", "sj://soak", timeout=120).json()}
        assert not set(self.objects) - listed, f"LOST: {sorted(set(self.objects) - listed)}"
        assert not listed & self.gone, f"still there: {sorted(listed & self.gone)}"
        assert listed <= set(self.objects) | self.unsure, sorted(listed - set(self.objects) - self.unsure)
        for key, (size, seed) in sorted(self.objects.items()):
            answer = self.driver.ask(f"get {key} soak {key} {size} {seed} 0 -1", 90 * SLOW)
            assert answer == f"{key} ok", f"LOST: {answer}"

    def wanted(self):
        """What each node has to have, as piece-check reads it; of what has an end the nodes know themselves, while
        the satellite removes its rows when it comes to that."""
        wanted = collections.defaultdict(list)
        with self.database() as db:
            names = dict(db.execute("SELECT a.alias, lower(hex(a.node_id)) FROM node_aliases a"))
            by_hex = {hex_: name for name, hex_ in self.node_hex.items()}
            for root, encrypted, pieces in db.execute(
                    "SELECT root_piece_id, encrypted_size, pieces FROM segments WHERE pieces IS NOT NULL "
                    "AND expires_at IS NULL"):
                numbers = piece_list(pieces)
                assert len(numbers) >= CODE_STORED, f"a segment of {len(numbers)} pieces was committed"
                size = -(-(encrypted + 4) // (CODE_NEEDED * SHARE)) * SHARE
                for number, alias in numbers:
                    wanted[by_hex[names[alias]]].append(f"{root.hex()} {number} {size}")
        return wanted

    def calm(self):
        """All is collected, emptied and compacted that can be: little but what is wanted is left."""
        def left():
            # A filter is as old as the newest segment that it knows, so there must be a newer one.
            self.count += 1
            key, what = f"{self.count:07}", (5000, self.count)
            assert self.driver.ask(f"put {key} soak {key} {what[0]} {what[1]}", 90 * SLOW) == f"{key} ok"
            self.objects[key] = what
            time.sleep(3)
            wanted = {name: len(list_) for name, list_ in self.wanted().items()}
            views = {name: self.status(name) for name in self.names}
            # A filter lets a tenth of the garbage pass, each time another; what an upload did not need is new garbage.
            much = {name: (v["pieces"], wanted.get(name, 0), v["trash"], v["dead"], v["used"]) for name, v in views.items()
                    if v["pieces"] > wanted.get(name, 0) + 3 or v["trash"] > 1 << 20 or v["dead"] > (8 << 20) + v["used"] // 2}
            self.last = much
            return not much
        try:
            # Several filters, the age of the trash, and then the sweep that is due each minute.
            wait_until("garbage gone", left, 240)
        except AssertionError as problem:
            raise AssertionError(f"{problem}: (pieces, wanted, trash, dead, used) {self.last}") from None

    def check_memory(self):
        flat = {}
        for name, kib in self.memory.items():
            early, late = kib[len(kib) // 8: len(kib) // 4 + 1], kib[-max(1, len(kib) // 8):]
            flat[name] = (sum(early) // len(early), sum(late) // len(late))
            assert flat[name][1] <= flat[name][0] + GROWTH_KIB, f"{name} grows: {kib}"
        return flat

    def finish(self):
        self.pump(90 * SLOW, load=False)
        time.sleep(max([0, *(until - time.monotonic() for until in self.passing.values())]) + 1)
        self.look()
        self.check_objects()
        self.calm()
        wanted = self.wanted()
        # Without filters, and when the trash is empty, nothing changes any more.
        self.driver.end()
        self.net.kill("satellite")
        wait_until("trash emptied", lambda: not any(self.status(name)["trash"] for name in self.names), 120)
        said = {name: self.status(name) for name in self.names}
        for name in self.names[::2]:  # as a kill leaves them, and as an orderly end does
            self.net.kill(name)
        self.net.down()
        for name in self.names:
            found = self.count_pieces(name, wanted[name])
            assert found["referenced"] == len(wanted[name])
            for figure in ("pieces", "live", "trash"):
                assert found[figure] == said[name][figure], f"{name} said {said[name]}, counted {found}"
        return sum(len(list_) for list_ in wanted.values())


def test_soak(tmp_path):
    soak = Soak(tmp_path)
    try:
        soak.up()
        soak.log(f"SOAK_SEED={SEED} SOAK_SECONDS={SECONDS}")
        soak.run()
        soak.log("calm now")
        pieces = soak.finish()
        memory = soak.check_memory()
        logs = "".join(soak.net.log(name) for name in soak.names)
        did = {what: logs.count(what) for what in ("garbage collected", "expired pieces and old trash dropped",
                                                   "space freed by compaction")}
        soak.log(f"{len(soak.objects)} objects and {pieces} pieces whole, {len(soak.gone)} gone, {dict(soak.done)}, "
                 f"{did}, memory (early, late) in KiB {memory}")
        assert all(did.values()) and soak.done["kill -9"] and soak.done["rm"] and soak.done["passing"], "nothing happened"
        failed = sum(n for what, n in soak.done.items() if what.endswith("failed"))
        assert failed <= sum(soak.done.values()) // 10, soak.errors[-20:]
    finally:
        if soak.driver:
            soak.driver.kill()
        soak.net.down()
