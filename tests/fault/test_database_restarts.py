"""PostgreSQL restarts again and again under two satellites that share it, while two clients work, each at
a satellite of its own.  Afterwards every invariant of the database holds, what was acknowledged is there
byte for byte at either satellite, and what was not is there whole or not at all.

30 seconds with a restart every 6; ten minutes with one every 20 with ACRE_FULL=1.
"""
import os
import queue
import subprocess
import threading
import time

from conftest import SLOW, Network, Second, program
from faults import TRANSFER_SECONDS_MAX, Books, Driver, clear_error

FULL = bool(os.environ.get("ACRE_FULL"))
SECONDS, INTERVAL = (600, 20) if FULL else (30, 6)
SEED = int(os.environ.get("ACRE_FAULT_SEED", "1"))
SIZES = [(0, 4000), (0, 4000), (0, 4000), (20_000, 200_000), (1_000_000, 3_000_000)]
PARALLEL = 8


class Client:
    """A client process, the keys it writes and reads, and a thread that keeps it busy."""

    def __init__(self, directory, grant, seed):
        directory.mkdir()
        self.driver = Driver(directory, {k: v for k, v in os.environ.items() if not k.startswith("ACRE_")})
        self.driver.open(grant)
        self.bucket = f"restarts{seed}"
        self.books = Books(seed)
        self.results = {"ok": 0, "error": 0}
        self.errors, self.problem = [], None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            self.work()
        except BaseException as problem:  # the main thread reports it
            self.problem = problem

    def begin(self, tag):
        old = self.books.old_object() if self.books.random.random() < 0.4 else None
        if old:
            key, size, seed = old
            self.driver.send(f"get {tag} {self.bucket} {key} {size} {seed} 0 -1")
            return "get", key, size, seed, time.monotonic()
        key, size, seed = self.books.new_upload(SIZES)
        verb = "multipart" if self.books.random.random() < 0.1 else "put"
        self.driver.send(f"{verb} {tag} {self.bucket} {key} {size} {seed}")
        return "put", key, size, seed, time.monotonic()

    def end(self, job, result, text):
        verb, key, size, seed, _ = job
        assert result != "wrong", f"{verb} of {key} ({size} bytes) gave wrong bytes: {text}"
        if verb == "put":
            self.books.uploaded(key, size, seed, result == "ok")
        else:
            self.books.busy.discard(key)
        self.results[result] += 1
        if result != "ok":
            clear_error(text)
            self.errors.append(f"{verb} {key} {size}: {text}")

    def work(self):
        active, started = {}, 0
        while active or not self.stop.is_set():
            while len(active) < PARALLEL and not self.stop.is_set():
                active[f"t{started}"] = self.begin(f"t{started}")
                started += 1
            try:
                answer = self.driver.answers.get(timeout=0.5)
            except queue.Empty:
                for job in active.values():
                    assert time.monotonic() - job[4] < TRANSFER_SECONDS_MAX, f"this one never ends: {job}"
                continue
            assert answer is not None, f"the client ended: {self.driver.said()}"
            tag, result, text = (answer.split(" ", 2) + [""])[:3]
            self.end(active.pop(tag), result, text)

    def check(self, net, grant):
        """What it was told is true, seen from a satellite."""
        books = self.books
        listed = {o["key"]: o["size"] for o in net.acre("ls", "-r", "--output", "json", f"sj://{self.bucket}",
                                                        env={"ACRE_ACCESS": grant}, timeout=120).json()}
        lost = sorted(books.sure - set(listed))
        assert not lost, f"acknowledged and gone: {lost}"
        assert set(listed) <= set(books.may), sorted(set(listed) - set(books.may))
        self.driver.open(grant)
        for key, size in sorted(listed.items()):
            candidates = [c for c in books.may[key] if c[0] == size]
            assert candidates, f"{key} has {size} bytes, which nobody uploaded: {books.may[key]}"
            answers = [self.driver.ask(f"get c {self.bucket} {key} {size} {seed} 0 -1") for _, seed in candidates]
            assert "c ok" in answers, f"{key}: {answers}"
        return len(listed)


def restart_until(postgres, end):
    restarts = 0
    while time.monotonic() < end:
        time.sleep(INTERVAL)
        # With its transactions rolled back in order, or as after a power cut.
        postgres.stop("fast" if restarts % 2 else "immediate")
        postgres.resume()
        restarts += 1
    return restarts


def test_database_restarts(postgres, tmp_path):
    net = Network(tmp_path, nodes=10, database=postgres.database())
    clients, second = [], None
    try:
        net.up()
        second = Second(net)
        grants = [net.values["ACRE_ACCESS"], second.grant(net)]
        clients = [Client(tmp_path / f"client{i}", grant, SEED * 10 + i) for i, grant in enumerate(grants)]
        for client, grant in zip(clients, grants):
            net.acre("mb", f"sj://{client.bucket}", env={"ACRE_ACCESS": grant})
            client.thread.start()
        restarts = restart_until(postgres, time.monotonic() + SECONDS)
        for client in clients:
            client.stop.set()
        for client in clients:
            client.thread.join()
            assert client.problem is None, client.problem
        assert net.pid("satellite") and second.process.poll() is None, "a satellite ended"
        # Each sees what the other's clients were told.
        counts = [client.check(net, grants[1 - i]) for i, client in enumerate(clients)]
        print(f"{restarts} restarts, {[c.results for c in clients]}, {counts} objects")
        for client in clients:
            assert client.results["ok"] > 3 * SECONDS // SLOW, client.results
            client.driver.end()
        assert second.close() == 0
        second = None
        net.kill("satellite")
        done = subprocess.run([program("acre-satellite"), "check", "--dir", net.dir / "net" / "satellite"],
                              capture_output=True, text=True, timeout=120 * SLOW, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        for client in clients:
            print("\n".join(client.errors[:20]))
            client.stop.set()
            client.driver.kill()
        if second:
            second.close()
        net.down()
