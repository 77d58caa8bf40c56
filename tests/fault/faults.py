"""What the fault tests share: a network of peers that misbehave by plan behind links that break, the
driver (one client process for all transfers), and the books of what was promised.
"""
import json
import os
import queue
import random
import shutil
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

from conftest import BIN, ROOT, SLOW, Network
from proxy import Link, Proxy

PROGRAMS = ROOT / BIN.parent.name.replace("dist", "build", 1) / "tests" / "fault"
STALL_MS = 3000 * SLOW  # the driver's patience with nodes
CALL_MS = 6000 * SLOW  # and with the satellite, retries included
TRANSFER_SECONDS_MAX = 90 * SLOW
SEGMENT = 1 << 20
CODE_NEEDED, CODE_STORED = 4, 8
SHARE = 256


class Driver:
    """fault-driver: see driver.c."""

    def __init__(self, directory, env):
        self.temp = directory / "temp"
        self.temp.mkdir()
        self.errors = open(directory / "driver.errors", "wb+")
        self.process = subprocess.Popen([PROGRAMS / "fault-driver"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        env={**env, "TMPDIR": str(self.temp)})
        self.answers = queue.Queue()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.answers.put(line.rstrip("\n"))
        self.answers.put(None)

    def send(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self, timeout):
        try:
            line = self.answers.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"the client hangs: nothing for {timeout} s") from None
        assert line is not None, f"the client ended: {self.said()}"
        return line

    def ask(self, line, timeout=TRANSFER_SECONDS_MAX):
        self.send(line)
        return self.answer(timeout)

    def open(self, grant, segment=SEGMENT):
        answer = self.ask(f"open {grant} {STALL_MS} {CALL_MS} {segment} {self.temp}")
        assert answer == "open ok", answer

    def stats(self):
        """Descriptors, threads, resident KiB, allocated KiB; nothing runs meanwhile."""
        words = self.ask("stats").split()
        assert words[0] == "stats", words
        return dict(zip(("fds", "threads", "rss", "heap"), map(int, words[1:])))

    def said(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def end(self):
        """Its own leak check, and LeakSanitizer's, speak here."""
        self.process.stdin.close()
        code = self.process.wait(timeout=60 * SLOW)
        assert code == 0, f"{code}: {self.said()}"

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Books:
    """What an object may hold: (size, seed) pairs; a transfer that failed leaves its own possible."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.may, self.sure, self.busy = {}, set(), set()
        self.count = 0

    def new_upload(self, sizes):
        old = sorted(self.sure - self.busy)
        again = old and self.random.random() < 0.1
        key = self.random.choice(old) if again else f"{self.count:05}"
        self.count += 1
        self.busy.add(key)
        low, high = self.random.choice(sizes)
        return key, self.random.randint(low, high), self.count

    def uploaded(self, key, size, seed, ok):
        self.busy.discard(key)
        if ok:
            self.may[key] = [(size, seed)]
            self.sure.add(key)
        else:
            self.may.setdefault(key, []).append((size, seed))

    def old_object(self, least=0):
        known = [k for k in sorted(self.sure - self.busy) if len(self.may[k]) == 1 and self.may[k][0][0] >= least]
        if not known:
            return None
        key = self.random.choice(known)
        self.busy.add(key)
        return key, *self.may[key][0]


class Faults:
    def __init__(self, directory, nodes, seed, database=None):
        self.dir, self.count, self.seed = Path(directory), nodes, seed
        programs = self.dir / "bin"
        programs.mkdir()
        shutil.copy(BIN / "acre", programs / "acre")
        shutil.copy(PROGRAMS / "faulty-node", programs / "acre-node")
        shutil.copy(PROGRAMS / "faulty-satellite", programs / "acre-satellite")
        self.net = Network(self.dir, nodes=nodes, bin=programs, database=database)
        self.names = [f"node{i + 1}" for i in range(nodes)]
        self.books = Books(seed)
        self.proxy = self.driver = None
        self.results = {"ok": 0, "error": 0}
        self.errors = []
        self.injected_before = {}

    def up(self, node_settings=None, chores=False, satellite_settings=None):
        """The nodes' and the satellite's addresses are the proxy's, for renters; nodes and
        satellite find each other directly, but for the satellite's ping.  Without chores nobody audits
        nodes or repairs segments, so that what renters stored stays where they stored it."""
        net = self.net.up()
        status = net.status()
        self.links = {p["name"]: Link("127.0.0.1:0", p["address"], self.seed + i)
                      for i, p in enumerate([status["satellite"], *status["nodes"]])}
        net.down()
        self.proxy = Proxy(list(self.links.values())).start()
        for name in self.names:
            with open(net.dir / "net" / name / "config", "a") as config:
                config.write(f"\nexternal-address = {self.links[name].listen}\nfree-reserve = 0\n"
                             f"segment-size = 64MiB\n{node_settings or ''}\n")
        if not chores:
            satellite_settings = "audit-workers = 0\nrepair-workers = 0"
        if satellite_settings:
            with open(net.dir / "net" / "satellite" / "config", "a") as config:
                config.write(f"\n{satellite_settings}\n")
        net.acre("dev", "up", "--dir", net.dir / "net", timeout=120)
        satellite = net.values["ACRE_SATELLITE"].split("@")[0] + "@" + self.links["satellite"].listen
        self.satellite_id = satellite.split("@")[0]
        grant = net.acre("access", "create", "--satellite-address", satellite, "--api-key", net.values["ACRE_API_KEY"],
                         env={"ACRE_PASSPHRASE": net.values["ACRE_PASSPHRASE"]})
        self.grant = grant.text.strip()
        net.env["ACRE_ACCESS"] = self.grant
        net.acre("mb", "sj://faults")
        self.driver = Driver(self.dir, {k: v for k, v in os.environ.items() if not k.startswith("ACRE_")})
        self.driver.open(self.grant)
        return self

    def down(self):
        if self.driver:
            self.driver.kill()
        if self.proxy:
            self.proxy.stop()
        self.net.down()

    # ---- faults ----

    def peer(self, name):
        return self.net.dir / "net" / name

    def plan(self, names, *lines):
        for i, name in enumerate(names):
            temporary = self.peer(name) / "fault.new"
            temporary.write_text("\n".join([f"seed {self.seed * 1000 + i}", *lines]) + "\n")
            temporary.rename(self.peer(name) / "fault")

    def heal(self):
        for name in ["satellite", *self.names]:
            (self.peer(name) / "fault").unlink(missing_ok=True)
        for link in self.links.values():
            link.heal()
        self.restart()

    def restart(self):
        """What a fault ended is started again."""
        status = self.net.status()
        for process in [status["satellite"], *status["nodes"]]:
            if not process["running"]:
                self.net.start(process["name"])

    def injected(self):
        """Faults by name that really happened, since the last time."""
        total = {}
        for name in ["satellite", *self.names]:
            path = self.peer(name) / "faults"
            for line in path.read_text().split() if path.exists() else ():
                total[line] = total.get(line, 0) + 1
        new = {k: v - self.injected_before.get(k, 0) for k, v in sorted(total.items())
               if v > self.injected_before.get(k, 0)}
        self.injected_before = total
        return new

    # ---- transfers ----

    def transfers(self, count, sizes, parallel=6, downloads=0.5, multipart=0.0, restarting=False):
        """Runs them through the driver; returns how many failed.  All of them must end, and a
        failure must say something."""
        books, started, active, failed = self.books, 0, {}, 0
        looked = time.monotonic()
        while started < count or active:
            while started < count and len(active) < parallel:
                old = books.old_object() if books.random.random() < downloads else None
                tag = f"t{started}"
                if old:
                    key, size, seed = old
                    offset = books.random.choice([0, 0, size // 2, size])
                    length = books.random.choice([-1, -1, (size - offset) // 2])
                    self.driver.send(f"get {tag} faults {key} {size} {seed} {offset} {length}")
                    active[tag] = ("get", key, size, seed, time.monotonic())
                else:
                    key, size, seed = books.new_upload(sizes)
                    verb = "multipart" if books.random.random() < multipart else "put"
                    self.driver.send(f"{verb} {tag} faults {key} {size} {seed}")
                    active[tag] = ("put", key, size, seed, time.monotonic())
                started += 1
            if restarting and time.monotonic() - looked > 0.3:
                self.restart()
                looked = time.monotonic()
            try:
                answer = self.driver.answers.get(timeout=0.5)
            except queue.Empty:
                for job in active.values():
                    assert time.monotonic() - job[4] < TRANSFER_SECONDS_MAX, f"this one never ends: {job}"
                continue
            assert answer is not None, f"the client ended: {self.driver.said()}"
            failed += self.ended(active, answer)
        return failed

    def ended(self, active, answer):
        tag, result, text = (answer.split(" ", 2) + [""])[:3]
        verb, key, size, seed, begun = active.pop(tag)
        ok = result == "ok"
        assert result != "wrong", f"{verb} of {key} ({size} bytes) gave wrong bytes: {text}"
        if verb == "put":
            self.books.uploaded(key, size, seed, ok)
        else:
            self.books.busy.discard(key)
        self.results[result] += 1
        if not ok:
            clear_error(text)
            self.errors.append(f"{verb} {key} {size}: {text}")
        return not ok

    # ---- what is left ----

    def check_objects(self):
        """All that was acknowledged is listed and right; nothing else than what somebody uploaded
        whole is there."""
        books = self.books
        listed = {o["key"]: o["size"] for o in
                  self.net.acre("ls", "-r", "--output", "json", "sj://faults", timeout=120).json()}
        lost = sorted(books.sure - set(listed))
        assert not lost, f"acknowledged and gone: {lost}"
        assert set(listed) <= set(books.may), sorted(set(listed) - set(books.may))
        for key, size in sorted(listed.items()):
            candidates = [c for c in books.may[key] if c[0] == size]
            assert candidates, f"{key} has {size} bytes, which nobody uploaded: {books.may[key]}"
            answers = [self.driver.ask(f"get c faults {key} {size} {seed} 0 -1") for _, seed in candidates]
            assert "c ok" in answers, f"{key}: {answers}"
        return len(listed)

    def database(self):
        path = self.peer("satellite") / "satellite.db"
        return sqlite3.connect(f"file:{path}?mode=ro", uri=True)

    def check_pieces(self, forgotten=0):
        """After the network stopped: every piece a segment names is on its node, whole.  Returns
        (pieces on nodes, of them named by no segment)."""
        with self.database() as db:
            nodes = {address: (id_.hex(), alias) for address, id_, alias in db.execute(
                "SELECT n.address, n.id, a.alias FROM nodes n JOIN node_aliases a ON a.node_id = n.id")}
            by_node = {alias: [] for _, alias in nodes.values()}
            for root, encrypted, pieces in db.execute(
                    "SELECT root_piece_id, encrypted_size, pieces FROM segments WHERE pieces IS NOT NULL"):
                numbers = piece_list(pieces)
                assert len(numbers) >= CODE_STORED, f"a segment of {len(numbers)} pieces was committed"
                stripe = CODE_NEEDED * SHARE
                size = -(-(encrypted + 4) // stripe) * SHARE
                for number, alias in numbers:
                    by_node[alias].append(f"{root.hex()} {number} {size}")
            whole = db.execute("SELECT COUNT(*) FROM objects o WHERE o.status = 0 AND segment_count != "
                               "(SELECT COUNT(*) FROM segments s WHERE s.stream_id = o.stream_id)").fetchone()[0]
            assert whole == 0, f"{whole} objects have not all their segments"
        total = unknown = missing = 0
        for name in self.names:
            id_, alias = nodes[self.links[name].listen]
            run = subprocess.run([PROGRAMS / "piece-check", self.peer(name) / "storage", id_, self.satellite_id],
                                 input="\n".join(by_node[alias]), capture_output=True, text=True, check=False)
            assert run.returncode == 0, run.stderr
            words = run.stdout.split()
            total, missing = total + int(words[1]), missing + int(words[5])
            unknown += int(words[1]) - (int(words[3]) - int(words[5]))
        assert missing <= forgotten, f"{missing} pieces are missing, {forgotten} were forgotten by plan"
        return total, unknown


def clear_error(text):
    """An error is clear when it says more than a code, in printable letters."""
    code, _, words = text.partition(" ")
    assert len(words) >= 20, f"that is no clear error: {text!r}"
    assert words.isprintable(), f"control characters in an error: {text!r}"
    assert "assert" not in words.lower() and "bug" not in words.lower(), text


def varints(data):
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7f) << shift
        shift += 7
        if not byte & 0x80:
            yield value
            value = shift = 0


def piece_list(data):
    """[(number, alias)] of a segment's pieces (satellite/piece_list.c)."""
    assert data[0] == 1
    numbers, expect = list(varints(data[1:])), 0
    result = []
    for gap, alias in zip(numbers[::2], numbers[1::2]):
        result.append((expect + gap, alias))
        expect += gap + 1
    return result


def process_stats(pid):
    return {"fds": len(os.listdir(f"/proc/{pid}/fd")), "threads": len(os.listdir(f"/proc/{pid}/task")),
            "rss": int(next(l for l in open(f"/proc/{pid}/status") if l.startswith("VmRSS")).split()[1])}


def wait_until(what, test, seconds=20):
    end = time.monotonic() + seconds * SLOW
    while not (value := test()):
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.1)
    return value
