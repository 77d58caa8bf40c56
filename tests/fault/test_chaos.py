"""Everything at once, for minutes: 20 nodes, several clients that upload, read and delete, while nodes, the
satellite and its database are killed, frozen and restarted, links are cut, disks are full, pieces rot and vanish,
nodes die for good, and two nodes lie.  Afterwards

- every acknowledged object is whole, byte for byte, and what was deleted is gone;
- every planted damage was found: no segment names a damaged piece, unless on a node that was disqualified;
- every segment has all the pieces it should have, each of them whole on its node;
- the books balance, and liars are owed nothing.

What happens is drawn from a seed, which is printed; how long each thing takes is not, so that a second run with it
is alike, but not the same.

    CHAOS_SECONDS    of load and faults (150; 3600 with ACRE_FULL=1, which scripts/test --full sets)
    CHAOS_SEED       instead of one by chance
    CHAOS_DATABASE   sqlite, postgres or both (sqlite; both with ACRE_FULL=1)

What the code can stand is never exceeded by plan: a piece is only harmed while its segment has two more than it needs.
"""
import collections
import datetime
import json
import os
import queue
import random
import resource
import signal
import sqlite3
import subprocess
import threading
import time

import pytest

from conftest import SLOW, program
from faults import (CODE_NEEDED, CODE_STORED, PROGRAMS, SHARE, TRANSFER_SECONDS_MAX, Driver, Faults, clear_error,
                    piece_list, wait_until)

pytestmark = pytest.mark.chaos

FULL = bool(os.environ.get("ACRE_FULL"))
SECONDS = int(os.environ.get("CHAOS_SECONDS", "3600" if FULL else "150"))
SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
DATABASE = os.environ.get("CHAOS_DATABASE", "both" if FULL else "sqlite")
DATABASES = ["sqlite", "postgres"] if DATABASE == "both" else [DATABASE]
NODES, CLIENTS, PARALLEL = 20, 3, 3
PACE = 0.8  # seconds between two transfers of a client, at most
SIZES = [(0, 4096), (4097, 60_000), (4097, 60_000), (200_000, 1_000_000), (1_100_000, 3_300_000)]
MULTIPART = (5_300_000, 6_000_000)
OBJECTS_MAX = 25  # of a client; beyond that deletions prevail
KEPT = 14  # of them: the first that a client uploads stay, so that damage of theirs must be found
FORGETS, WRONG = "node20", "node19"  # acknowledges and stores nothing; sends wrong bytes
DEAD_MAX = 2 + SECONDS // 1800  # nodes that never come back
# Kinds, and how often.  Not piece-check's "flip": a single byte is found by the node's own reading of complete
# segments, or by the audit that happens to ask for its stripe, either in days.
HARM = {"rot": 4, "zero": 2, "delete": 3}
HARM_MAX = 4  # pieces at a time
QUIET_SECONDS = 150 if SECONDS < 600 else 900

SATELLITE = """
silence-window = 15s
audit-interval = 2s
audit-timeout = 8s
reverify-interval = 15s
audit-lambda = 0.99
audit-grace = 0s
gc-interval = 20s
gc-margin = 100s
pay-storage = 1000000000
pay-egress = 1000000000
pay-audit = 1000000000
"""
NODE = """
retain-skew = 0s
scrub-rate = 16MiB
"""


class Client(threading.Thread):
    """Transfers of its own objects, some at a time; remembers what each may hold: (size, seed), or None for none."""

    def __init__(self, chaos, number):
        super().__init__(daemon=True)
        self.chaos, self.number = chaos, number
        self.random = random.Random(f"{SEED} client {number}")
        directory = chaos.f.dir / f"client{number}"
        directory.mkdir()
        self.driver = Driver(directory, {k: v for k, v in os.environ.items() if not k.startswith("ACRE_")})
        self.driver.open(chaos.f.grant)
        self.may, self.active, self.count = {}, {}, 0
        self.done = collections.Counter()
        self.stopping, self.problem = threading.Event(), None

    def live(self):
        """What is there for sure, and known."""
        return [k for k, v in self.may.items() if len(v) == 1 and v[0] and k not in self.active]

    def begin(self):
        live, draw = self.live(), self.random.random()
        passing = [k for k in live if int(k.split("-")[1]) > KEPT]
        self.count += 1
        if live and draw < (0.35 if len(live) < OBJECTS_MAX else 0.25):
            key = self.random.choice(live)
            size, seed = self.may[key][0]
            self.active[key] = ("get", None, time.monotonic())
            self.driver.send(f"get {key} faults {key} {size} {seed} 0 -1")
        elif passing and draw < (0.45 if len(live) < OBJECTS_MAX else 0.80):
            key = self.random.choice(passing)
            self.active[key] = ("rm", None, time.monotonic())
            self.driver.send(f"rm {key} faults {key}")
        else:
            again = passing and self.random.random() < 0.15
            key = self.random.choice(passing) if again else f"{self.number}-{self.count:06}"
            multipart = self.random.random() < 0.03
            size = self.random.randint(*(MULTIPART if multipart else self.random.choice(SIZES)))
            what = (size, self.number * 1_000_000 + self.count)
            verb = "multipart" if multipart else "put"
            self.active[key] = (verb, what, time.monotonic())
            self.driver.send(f"{verb} {key} faults {key} {what[0]} {what[1]}")

    def ended(self, answer):
        key, result, text = (answer.split(" ", 2) + [""])[:3]
        verb, what, _ = self.active.pop(key)
        assert result != "wrong", f"{verb} of {key} {self.may.get(key)} gave wrong bytes: {text}"
        ok = result == "ok"
        if not ok:
            clear_error(text)
        self.done[verb if ok else verb + " failed"] += 1
        if verb == "get":
            return
        self.may[key] = [what] if ok else [*self.may.get(key, [None]), what]

    def run(self):
        due = 0
        try:
            while self.active or not self.stopping.is_set():
                if not self.stopping.is_set() and len(self.active) < PARALLEL and time.monotonic() >= due:
                    self.begin()
                    due = time.monotonic() + self.random.uniform(0, PACE)
                try:
                    answer = self.driver.answers.get(timeout=0.1)
                except queue.Empty:
                    for key, job in self.active.items():
                        assert time.monotonic() - job[2] < 2 * TRANSFER_SECONDS_MAX, f"never ends: {key} {job}"
                    continue
                assert answer is not None, f"the client ended: {self.driver.said()}"
                self.ended(answer)
        except Exception as problem:  # the main thread reports it
            self.problem = problem

    def check(self):
        """All that may be there is right, and what must be there is."""
        listed = {o["key"]: o["size"] for o in self.chaos.f.net.acre(
            "ls", "-r", "--output", "json", "sj://faults", timeout=120).json() if o["key"].startswith(f"{self.number}-")}
        whole = 0
        for key, may in sorted(self.may.items()):
            if key not in listed:
                assert None in may, f"LOST: {key} was acknowledged and is gone: {may}"
                continue
            candidates = [m for m in may if m and m[0] == listed[key]]
            assert candidates, f"{key} has {listed[key]} bytes and should be one of {may}"
            answers = [self.driver.ask(f"get {key} faults {key} {size} {seed} 0 -1") for size, seed in candidates]
            assert f"{key} ok" in answers, f"LOST: {key} {may}: {answers}"
            whole += 1
        assert set(listed) <= set(self.may), sorted(set(listed) - set(self.may))
        return whole


class Chaos:
    def __init__(self, directory, postgres):
        self.postgres = postgres
        self.database = postgres.database() if postgres else None
        self.f = Faults(directory, NODES, SEED & 0xffff, database=self.database)
        self.random = random.Random(f"{SEED} faults")
        self.counts = collections.Counter()
        self.pending = []  # (when, what brings things back in order, name)
        self.disturbed, self.dead = set(), set()
        self.planted = {}  # (root piece, number, node): kind
        self.found = collections.Counter()
        self.reinstated = collections.Counter()
        self.begun = time.monotonic()
        self.clients, self.ids, self.node_hexes = [], {}, {}

    def log(self, text):
        print(f"{time.monotonic() - self.begun:7.1f} {text}", flush=True)

    def up(self):
        # The liars lie from their first piece on.
        self.f.up(NODE, chores=True, satellite_settings=SATELLITE)
        self.f.plan([FORGETS], "up.forget 100")
        self.f.plan([WRONG], "down.wrong 100")
        ids = {}
        for node in self.f.net.status()["nodes"]:
            status = subprocess.run([program("acre-node"), "status", "--json", "--dir", self.f.peer(node["name"])],
                                    capture_output=True, check=True, timeout=60 * SLOW)
            ids[node["name"]] = json.loads(status.stdout)["nodes"][0]["id"]
        self.ids = ids
        names = {self.f.links[name].listen: name for name in self.f.names}
        for address, id_ in self.sql(f"SELECT address, {self.hex('id')} FROM nodes"):
            self.node_hexes[names[address]] = id_
        self.clients = [Client(self, i) for i in range(CLIENTS)]
        return self

    # ---- what the satellite knows ----

    def sql(self, statement, write=False):
        """Rows of text."""
        if self.postgres:
            done = subprocess.run(["psql", self.database, "-tAqF", "|", "-c", statement], capture_output=True,
                                  text=True, check=False, timeout=60 * SLOW)
            assert done.returncode == 0, done.stderr
            return [line.split("|") for line in done.stdout.splitlines() if line]
        path = self.f.peer("satellite") / "satellite.db"
        db = sqlite3.connect(path if write else f"file:{path}?mode=ro", uri=not write, timeout=60)
        with db:
            rows = [["" if v is None else str(v) for v in row] for row in db.execute(statement).fetchall()]
        db.close()
        return rows

    def hex(self, column):
        return f"encode({column}, 'hex')" if self.postgres else f"lower(hex({column}))"

    def segments(self):
        """[(root piece, piece size, [(number, node's name)])]"""
        # In this order: a node may get its first piece between the two.
        rows = self.sql(f"SELECT {self.hex('root_piece_id')}, encrypted_size, {self.hex('pieces')} FROM segments "
                        "WHERE pieces IS NOT NULL")
        names = {self.f.links[name].listen: name for name in self.f.names}
        by_alias = {int(alias): names[address] for address, alias in self.sql(
            "SELECT n.address, a.alias FROM nodes n JOIN node_aliases a ON a.node_id = n.id") if address in names}
        stripe = CODE_NEEDED * SHARE
        return [(root, -(-(int(size) + 4) // stripe) * SHARE,
                 [(number, by_alias[alias]) for number, alias in piece_list(bytes.fromhex(pieces))])
                for root, size, pieces in rows]

    def satellite(self, *args, timeout=120):
        process = subprocess.run([program("acre-satellite", self.f.net.bin), *args, "--dir", self.f.peer("satellite")],
                                 capture_output=True, text=True, check=False, timeout=timeout * SLOW)
        assert process.returncode == 0, f"{args}: {process.stderr}"
        return process.stdout

    def states(self):
        by_id = {n["id"]: n for n in json.loads(self.satellite("node", "list", "--json"))}
        return {name: by_id[id_] for name, id_ in self.ids.items()}

    def disqualified(self):
        return {name for name, node in self.states().items() if node["state"] == "disqualified"}

    # ---- the ledger of damage ----

    def settle_planted(self, segments=None, out=()):
        """Which planted damage is no segment's any more."""
        segments = self.segments() if segments is None else segments
        listed = {(root, number, name) for root, _, pieces in segments for number, name in pieces}
        roots = {root for root, _, _ in segments}
        for piece in list(self.planted):
            if piece in listed and piece[2] not in out:
                continue
            kind = self.planted.pop(piece)
            # An object that was deleted took its damage with it: nobody had to find that.
            self.found[f"{kind} deleted" if piece[0] not in roots else f"{kind} found"] += 1

    def made_anew(self, segments):
        """Found, and then repaired on the very node under the same number: looks at what is there now."""
        size = {root: size for root, size, _ in segments}
        by_node = collections.defaultdict(list)
        for root, number, name in self.planted:
            by_node[name].append((root, number, size[root]))
        for name, pieces in by_node.items():
            self.kill(name)
            bad = self.piece_check(name, pieces)
            self.f.net.start(name)
            for root, number, _ in pieces:
                if (root, number) not in bad:
                    self.found[self.planted.pop((root, number, name)) + " found"] += 1

    def spare(self, segments):
        """{root: pieces that are whole, as far as is known, beyond those needed}"""
        bad = self.dead | {FORGETS, WRONG} | self.disqualified()
        return {root: sum(name not in bad and (root, number, name) not in self.planted for number, name in pieces) -
                CODE_NEEDED for root, _, pieces in segments}

    # ---- processes ----

    def calm(self):
        return [n for n in self.f.names if n not in self.disturbed | self.dead]

    def later(self, seconds, name, function):
        self.disturbed.add(name)
        self.pending.append((time.monotonic() + seconds, name, function))

    def restore(self, all_of_it=False):
        due = [p for p in self.pending if all_of_it or p[0] <= time.monotonic()]
        self.pending = [p for p in self.pending if p not in due]
        for _, name, function in due:
            function()
            self.disturbed.discard(name)

    def kill(self, name):
        pid = self.f.net.pid(name)
        if pid:
            os.kill(pid, signal.SIGKILL)
            wait_until(f"{name} is gone", lambda: not self.f.net.pid(name))

    def pid(self, name):
        pid = self.f.net.pid(name)
        assert pid, f"{name} ended by itself: {self.f.net.log(name)[-2000:]}"
        return pid

    # ---- what happens ----

    def node_killed(self, rng):
        names = rng.sample(self.calm(), min(rng.choice([1, 1, 1, 2, 3]), len(self.calm())))
        for name in names:
            self.pid(name)
            self.kill(name)
            self.later(rng.choice([0, 1, 8]), name, lambda name=name: self.f.net.start(name))
        return names

    def satellite_killed(self, rng):
        self.pid("satellite")
        self.kill("satellite")
        time.sleep(rng.uniform(0, 1))
        self.f.net.start("satellite")

    def satellite_restarted(self, rng):
        os.kill(self.pid("satellite"), signal.SIGTERM)
        wait_until("the satellite ends", lambda: not self.f.net.pid("satellite"), 60)
        self.f.net.start("satellite")

    def node_frozen(self, rng):
        names = rng.sample(self.calm(), min(rng.choice([1, 1, 2, 3]), len(self.calm())))
        for name in names:
            pid = self.pid(name)
            os.kill(pid, signal.SIGSTOP)
            self.later(rng.uniform(1, 15), name, lambda pid=pid: os.kill(pid, signal.SIGCONT))
        return names

    def satellite_frozen(self, rng):
        pid = self.pid("satellite")
        os.kill(pid, signal.SIGSTOP)
        time.sleep(rng.uniform(0.2, 3))
        os.kill(pid, signal.SIGCONT)

    def links_cut(self, rng):
        names = rng.sample(["satellite", *self.calm()], min(rng.choice([1, 2, 5, 10]), len(self.calm())))
        loop = self.f.proxy.loop
        for name in names:
            loop.call_soon_threadsafe(self.f.links[name].cut_now)
        return names

    def link_bad(self, rng):
        names = rng.sample(self.calm(), min(rng.choice([1, 2, 3]), len(self.calm())))
        for name in names:
            link = self.f.links[name]
            how = rng.choice([{"refuse": True}, {"stall": 20_000}, {"truncate": 30_000}, {"rate": 100_000},
                              {"delay": 0.2}, {"cut": 2.0}])
            link.__dict__.update(how)
            if how.get("refuse"):
                self.f.proxy.loop.call_soon_threadsafe(link.cut_now)
            self.later(rng.uniform(2, 12), name, link.heal)
        return names

    def disk_full(self, rng):
        names = rng.sample(self.calm(), min(rng.choice([1, 3]), len(self.calm())))
        for name in names:
            pid = self.pid(name)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (64 << 10, resource.RLIM_INFINITY))
            self.later(rng.uniform(3, 10), name, lambda pid=pid: resource.prlimit(
                pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)))
        return names

    def satellite_disk_full(self, rng):
        if self.postgres:
            return self.postgres_restarted(rng)
        pid, path = self.pid("satellite"), self.f.peer("satellite")
        largest = max(p.stat().st_size for p in path.glob("satellite.db*"))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest + 4096, resource.RLIM_INFINITY))
        time.sleep(rng.uniform(0.5, 3))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return None

    def postgres_restarted(self, rng):
        if not self.postgres:
            return self.satellite_killed(rng)
        self.postgres.stop(rng.choice(["fast", "immediate"]))
        time.sleep(rng.uniform(0, 2))
        self.postgres.resume()
        return None

    def honest(self):
        return [n for n in self.calm() if n not in (FORGETS, WRONG)]

    def pieces_harmed(self, rng):
        name = rng.choice(self.honest())
        self.kill(name)
        try:
            segments = self.segments()
            self.settle_planted(segments)
            spare = self.spare(segments)
            mine = [(root, number, size) for root, size, pieces in sorted(segments) for number, n in pieces
                    if n == name and spare[root] >= 2 and
                    (root, number, name) not in self.planted]
            chosen = rng.sample(mine, min(len(mine), rng.randint(1, HARM_MAX)))
            kind = rng.choices(list(HARM), HARM.values())[0]
            before = self.piece_check(name, chosen)
            chosen = [p for p in chosen if (p[0], p[1]) not in before]
            if not chosen:
                return "none that may be"
            self.piece_check(name, chosen, kind)
            bad = self.piece_check(name, chosen)
            assert set(bad) == {(root, number) for root, number, _ in chosen}, f"{kind}: {chosen}: {bad}"
            for root, number, _ in chosen:
                self.planted[root, number, name] = kind
                self.counts["pieces: " + kind] += 1
            return f"{name} {kind} {len(chosen)}"
        finally:
            self.f.net.start(name)

    def node_lost(self, rng):
        """For good.  None of its segments may depend on it."""
        if len(self.dead) >= DEAD_MAX:
            return "enough of them"
        name = rng.choice(self.honest())
        segments = self.segments()
        self.settle_planted(segments)
        spare = self.spare(segments)
        if any(n == name and spare[root] < 2 for root, _, pieces in segments for _, n in pieces):
            return f"not {name}: it is needed"
        self.kill(name)
        self.dead.add(name)
        return name

    def piece_check(self, name, pieces, harm=None):
        """{(root, number): what is wrong} of a stopped node."""
        run = subprocess.run([PROGRAMS / "piece-check", self.f.peer(name) / "storage", self.node_hexes[name],
                              self.f.satellite_id, *([harm] if harm else [])],
                             input="\n".join(f"{root} {number} {size}" for root, number, size in pieces),
                             capture_output=True, text=True, check=False, timeout=120 * SLOW)
        assert run.returncode == 0, run.stderr
        bad = {}
        for line in run.stderr.splitlines():
            piece, _, what = line.partition(": ")
            root, slash, number = piece.partition("/")
            if slash and number.isdigit():
                bad[root, int(number)] = what
        return bad

    def reinstate(self):
        """Honest nodes that were disqualified for harm done to them come back, once all of it was found."""
        for name in self.disqualified() - {FORGETS, WRONG} - self.dead:
            if not any(piece[2] == name for piece in self.planted):
                self.satellite("node", "reinstate", self.ids[name])
                self.reinstated[name] += 1

    EVENTS = {node_killed: 6, satellite_killed: 2, satellite_restarted: 1, node_frozen: 4, satellite_frozen: 1,
              links_cut: 4, link_bad: 4, disk_full: 2, satellite_disk_full: 1, postgres_restarted: 1, pieces_harmed: 6,
              node_lost: 1}

    def wreak(self, number):
        rng = random.Random(f"{SEED} event {number}")
        event = rng.choices(list(self.EVENTS), self.EVENTS.values())[0]
        result = event(self, rng)
        self.counts[event.__name__] += not isinstance(result, str) or result.split(" ")[0] in self.f.names
        self.log(f"{event.__name__} {result or ''}")
        return rng.uniform(0.3, 2.5)

    def run(self):
        for client in self.clients:
            client.start()
        end, number, looked = time.monotonic() + SECONDS, 0, time.monotonic()
        while time.monotonic() < end:
            pause = self.wreak(number)
            number += 1
            until = time.monotonic() + pause
            while time.monotonic() < until:
                self.restore()
                time.sleep(0.1)
            for client in self.clients:
                assert client.problem is None, client.problem
            if time.monotonic() - looked > 15:
                looked = time.monotonic()
                self.settle_planted()
                self.reinstate()
                self.log(f"{self.report()}")

    # ---- afterwards ----

    def report(self):
        done = sum((c.done for c in self.clients), collections.Counter())
        return f"{dict(done)} planted and not found yet {len(self.planted)} {dict(self.found)}"

    def heal(self):
        for client in self.clients:
            client.stopping.set()
        self.restore(all_of_it=True)
        for client in self.clients:
            client.join(3 * TRANSFER_SECONDS_MAX)
            assert not client.is_alive() and client.problem is None, client.problem
        for name in ["satellite", *self.f.names]:
            if name not in self.dead:
                self.pid(name)

    def quiet(self):
        """Audits of everything and repair, until nothing is left to find."""
        end, why, rounds = time.monotonic() + QUIET_SECONDS * SLOW, "", 0
        while time.monotonic() < end:
            rounds += 1
            reports = json.loads(self.satellite("audit", "run", "--all", "--json", timeout=300))
            self.satellite("audit", "run", "--contained", "--json")
            failed = sum(n["outcome"] == "failure" for r in reports for n in r["nodes"])
            repair = self.f.net.acre("dev", "repair", "--wait", "--dir", self.f.net.dir / "net", check=False, timeout=180)
            out, segments = self.disqualified(), self.segments()
            self.settle_planted(segments, out)
            if not failed:
                self.made_anew(segments)
            weak = [root for root, _, pieces in segments
                    if sum(name not in out | self.dead for _, name in pieces) < CODE_STORED]
            free = {FORGETS, WRONG} - out
            why = f"{failed} failed audits, planted {self.planted}, liars that are trusted {free}, " \
                  f"weak segments {weak}, repair {repair.code} {repair.text[-300:] if repair.code else ''}"
            self.log(f"round {rounds}: {why}")
            if not (failed or self.planted or free or weak or repair.code):
                return
            time.sleep(1)
        raise AssertionError(f"still after {rounds} rounds: {why}")

    def settle(self):
        """All orders become pay."""
        for name in self.f.names:
            if name not in self.dead:
                with open(self.f.peer(name) / "config", "a") as config:
                    config.write("\nsettle-early = 3h\n")
        alive = [n for n in self.f.names if n not in self.dead]
        self.f.net.kill(*alive)
        self.f.net.start(*alive)
        for name in alive:
            orders = self.f.peer(name) / "storage" / "orders"
            wait_until(f"{name} settles", lambda orders=orders: not list(orders.glob("*.orders")), 60)

    def check_books(self):
        """The network is down.  All that happened is moved to the month before last, for statements."""
        self.satellite("check")
        today = datetime.datetime.now(datetime.timezone.utc)
        then = today.replace(day=15)
        for _ in range(2):
            then = then.replace(day=1) - datetime.timedelta(days=14)
        back = int((today - then).total_seconds()) // 86400 * 86400 * 10**9
        for table, column in (("node_storage", "interval_start"), ("storagenode_bandwidth_rollups", "interval_start"),
                              ("nodes", "created_at"), ("nodes", "disqualified_at")):
            self.sql(f"UPDATE {table} SET {column} = {column} - {back} WHERE {column} > {back}", write=True)
        month = ["--month", f"{then:%Y-%m}"]
        self.satellite("statement", "make", *month)
        names = {id_: name for name, id_ in self.ids.items()}
        statements = {names[s["node"]]: s for s in json.loads(self.satellite("statement", "list", "--json", *month))}
        for name in (FORGETS, WRONG):
            s = statements[name]
            assert "D" in s["codes"] and s["owed_micro_dollars"] == s["held_micro_dollars"] == 0, s
        s = statements[FORGETS]
        assert s["get"] == s["get_audit"] == s["get_repair"] == 0, f"paid for bytes it never had: {s}"
        honest = [s for name, s in statements.items() if "D" not in s["codes"]]
        assert sum(s["owed_micro_dollars"] for s in honest) > 0 and any(s["get_audit"] for s in honest), honest
        return len(honest)

    def check_pieces(self):
        out, per_node = self.disqualified(), collections.defaultdict(list)
        for root, size, pieces in self.segments():
            for number, name in pieces:
                per_node[name].append((root, number, size))
        total = 0
        for name, pieces in sorted(per_node.items()):
            if name in out | self.dead:
                continue
            bad = self.piece_check(name, pieces)
            assert not bad, f"{name} has damage that nobody found: {bad}"
            total += len(pieces)
        return total

    def down(self):
        for client in self.clients:
            client.driver.kill()
        for _, name, function in self.pending:  # what is frozen cannot be ended
            try:
                function()
            except (OSError, AssertionError, subprocess.SubprocessError) as problem:
                self.log(f"{name}: {problem}")
        self.f.down()


@pytest.mark.parametrize("database", DATABASES)
def test_chaos(tmp_path, request, database):
    chaos = Chaos(tmp_path, request.getfixturevalue("postgres") if database == "postgres" else None)
    try:
        chaos.up()
        chaos.log(f"CHAOS_SEED={SEED} CHAOS_SECONDS={SECONDS} CHAOS_DATABASE={database}")
        chaos.run()
        chaos.log("quiet now")
        chaos.heal()
        planted = {k: v for k, v in chaos.counts.items() if k.startswith("pieces: ")}
        chaos.quiet()
        states = chaos.states().values()
        audits = f"audits of a node {sum(n['audits'] for n in states)}, passed {sum(n['audits_passed'] for n in states)}"
        whole = sum(client.check() for client in chaos.clients)
        chaos.settle()
        for client in chaos.clients:
            client.driver.end()
        chaos.f.net.down()
        pieces = chaos.check_pieces()
        paid = chaos.check_books()
        chaos.log(f"{whole} objects whole, {pieces} pieces whole, {paid} honest nodes paid\n{chaos.report()}\n"
                  f"events {dict(chaos.counts)}\nplanted {sum(planted.values())} {planted}, nodes lost {sorted(chaos.dead)}, "
                  f"reinstated {dict(chaos.reinstated)}; {audits}; segments repaired "
                  f"{chaos.f.net.log('satellite').count('segment repaired')}")
        assert whole and planted, "nothing happened"
    finally:
        chaos.down()
