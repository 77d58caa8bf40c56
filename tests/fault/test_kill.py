"""Nothing acknowledged is lost, nothing half done is visible, whoever is killed in mid-transfer.

200 uploads, half of them of 1 MiB and more, a third of several segments; while they run, nodes, the
satellite and the client itself are killed with SIGKILL, each at least 50 times, inside transfers.
An upload that said it succeeded must come back byte for byte.  One that did not may be there whole or
not at all; it must never be there in part.
"""
import hashlib
import os
import random
import signal
import subprocess
import threading
import time

import pytest

from conftest import Network, program

UPLOADS = int(os.environ.get("ACRE_FAULT_UPLOADS", "200"))
KILLS = int(os.environ.get("ACRE_FAULT_KILLS", "50"))
SEED = int(os.environ.get("ACRE_FAULT_SEED", "1"))
NODES = 12
LIMIT_SECONDS = 1500


class Killer:
    """Kills and restarts nodes and the satellite while at least one transfer runs."""

    def __init__(self, net, seed):
        self.net, self.random = net, random.Random(seed)
        self.active = 0
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.killed = {"node": 0, "satellite": 0}
        self.thread = threading.Thread(target=self.run)
        self.problem = None

    def enough(self):
        return all(count >= KILLS for count in self.killed.values())

    def run(self):
        try:
            while not self.stop.is_set():
                time.sleep(self.random.uniform(0.02, 0.25))
                with self.lock:
                    busy = self.active > 0
                if not busy:
                    continue
                kind = min(self.killed, key=lambda k: (self.killed[k], k)) if self.random.random() < 0.7 else "node"
                name = "satellite" if kind == "satellite" else "node%d" % self.random.randint(1, NODES)
                pid = self.net.pid(name)
                if not pid:
                    continue
                os.kill(pid, signal.SIGKILL)
                self.killed[kind] += 1
                while self.net.pid(name):  # a killed process takes a moment to be gone
                    time.sleep(0.005)
                time.sleep(self.random.uniform(0, 0.1))
                self.net.start(name)
        except Exception as problem:  # the main thread reports it
            self.problem = problem


def upload(net, killer, rng, key, size, segment):
    """One try; kills the client itself now and then.  True: acknowledged.  None: killed."""
    path = net.dir / "source"
    data = rng.randbytes(size)
    path.write_bytes(data)
    argv = [program("acre"), "cp", str(path), f"sj://bucket/{key}"]
    if segment:
        argv += ["--segment-size", str(segment)]
    with killer.lock:
        killer.active += 1
    try:
        process = subprocess.Popen(argv, env=net.env, stderr=subprocess.PIPE)
        if rng.random() < killer.client_share and killer.clients < KILLS * 2:
            time.sleep(rng.uniform(0.01, 0.25))
            if process.poll() is None:
                process.kill()
                process.wait()
                killer.clients += 1
                return data, None
        _, errors = process.communicate(timeout=180)
        if process.returncode:
            killer.errors.append(errors.decode(errors="replace").strip())
        return data, process.returncode == 0
    finally:
        with killer.lock:
            killer.active -= 1


def test_kill(tmp_path):
    net = Network(tmp_path, nodes=NODES)
    rng = random.Random(SEED)
    try:
        net.up()
        net.acre("mb", "sj://bucket")
        killer = Killer(net, SEED)
        killer.clients, killer.client_share, killer.errors = 0, 0.45, []
        killer.thread.start()
        acknowledged, uncertain = {}, {}
        begun, n = time.monotonic(), 0
        while n < UPLOADS or not killer.enough() or killer.clients < KILLS:
            assert time.monotonic() - begun < LIMIT_SECONDS, \
                (n, killer.killed, killer.clients, killer.errors[-3:])
            assert killer.problem is None, killer.problem
            size = rng.randint(1 << 20, 6 << 20) if n % 2 else rng.choice([0, 1, 4096, 4097, 20_000, 500_000])
            segment = 512 << 10 if n % 3 == 1 else None
            key = f"{n % 160:03}" if n % 10 == 9 else f"{n:04}"
            data, result = upload(net, killer, rng, key, size, segment)
            digest = hashlib.sha256(data).hexdigest()
            if result:
                acknowledged[key] = digest
                uncertain[key] = set()
            else:
                uncertain.setdefault(key, set()).add(digest)
            n += 1
        killer.stop.set()
        killer.thread.join()
        assert killer.problem is None, killer.problem
        for name in ["satellite"] + [f"node{i + 1}" for i in range(NODES)]:
            net.start(name)
        net.acre("dev", "up", "--dir", net.dir / "net", timeout=120)
        print(f"{n} uploads, {len(acknowledged)} acknowledged, killed {killer.killed}, clients {killer.clients}, "
              f"{len(killer.errors)} reported a failure")
        assert killer.killed["node"] >= KILLS and killer.killed["satellite"] >= KILLS
        assert killer.clients >= KILLS

        listed = {o["key"]: o["size"] for o in net.acre("ls", "-r", "--output", "json", "sj://bucket").json()}
        lost = sorted(set(acknowledged) - set(listed))
        assert not lost, f"acknowledged and gone: {lost}"
        assert set(listed) <= set(acknowledged) | set(uncertain)
        for key in sorted(listed):
            got = hashlib.sha256(net.acre("cat", f"sj://bucket/{key}", timeout=120).out).hexdigest()
            allowed = uncertain[key] | ({acknowledged[key]} if key in acknowledged else set())
            assert got in allowed, f"{key} holds what nobody uploaded whole"
    finally:
        net.down()
