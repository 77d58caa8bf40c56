"""The satellite's own program: setting up, running, keys and backups while it runs, things that go wrong."""
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from conftest import SLOW, free_address, program

TEN_SECONDS = 10 * SLOW


def satellite(*args, check=True, timeout=60):
    process = subprocess.run([program("acre-satellite"), *map(str, args)], capture_output=True, text=True,
                             check=False, timeout=timeout * SLOW)
    if check:
        assert process.returncode == 0, f"{args}: {process.returncode}\n{process.stderr}"
    return process


def wait_until(condition, seconds=TEN_SECONDS):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)


class Running:
    """A program that serves out of a directory, ended by its own id."""

    def __init__(self, name, directory, *args):
        self.dir = Path(directory)
        self.log_file = open(self.dir / "log", "ab")
        self.process = subprocess.Popen([program(name), "run", "--dir", str(directory), *args],
                                        stdin=subprocess.DEVNULL, stderr=self.log_file)

    def serving(self):
        wait_until(lambda: (self.dir / "address").exists() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log()
        return (self.dir / "address").read_text().strip()

    def log(self):
        return (self.dir / "log").read_text(errors="replace")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=TEN_SECONDS)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log_file.close()


@pytest.fixture
def start():
    running = []

    def begin(name, directory, *args):
        running.append(Running(name, directory, *args))
        return running[-1]
    yield begin
    for r in reversed(running):
        r.close()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request):
    """Flags for setup."""
    if request.param == "sqlite":
        return []
    return ["--database", request.getfixturevalue("postgres").database()]


@pytest.fixture
def made(tmp_path, database):
    directory = tmp_path / "sat"
    satellite("setup", "--dir", directory, "--address", "127.0.0.1:0", "--development", "--rs", "1/1/1/1",
              *database)
    return directory


def node(directory, url, *args):
    subprocess.run([program("acre-node"), "setup", "--dir", str(directory), "--satellite", url, "--address",
                    "127.0.0.1:0", "--space", "10GB", "--difficulty", "8", "--development", *args], check=True,
                   capture_output=True, timeout=60 * SLOW)
    return directory


def nodes_of(directory):
    return json.loads(satellite("nodes", "--dir", directory, "--json").stdout)


# ---- setup ----

def test_setup_makes_what_it_says(tmp_path):
    directory = tmp_path / "sat"
    out = satellite("setup", "--dir", directory, "--address", "127.0.0.1:0", "--nodes", "12").stdout
    assert "survives any" in out and "keep-offline" in out
    names = {p.name for p in directory.iterdir()}
    assert {"config", "identity.cert", "identity.key", "keep-offline", "satellite.db"} <= names
    # Secrets are nobody else's to read.
    for name in ("config", "identity.key", "satellite.db", "keep-offline", "keep-offline/ca.key"):
        assert (directory / name).stat().st_mode & 0o077 == 0, name
    assert not (directory / "ca.key").exists()
    config = (directory / "config").read_text()
    assert re.search(r"^rs = \d+/\d+/\d+/\d+$", config, re.M)
    # Every flag of run is in the file, with its meaning.
    flags = re.findall(r"--([a-z-]+)", satellite("run", "--help").stdout)
    for flag in set(flags) - {"dir", "help"}:
        assert re.search(rf"^(# )?{flag} = ", config, re.M), flag
    again = satellite("setup", "--dir", directory, check=False)
    assert again.returncode == 1 and "already" in again.stderr
    assert (directory / "config").read_text() == config


@pytest.mark.parametrize("nodes", [1, 2, 3, 5, 10, 50, 200])
def test_setup_proposes_a_code(tmp_path, nodes):
    out = satellite("setup", "--dir", tmp_path / "s", "--nodes", nodes, "--development").stdout
    k, m, o, n = map(int, re.search(r"Taken: (\d+)/(\d+)/(\d+)/(\d+)\.", out).groups())
    assert 1 <= k <= m <= o <= n <= nodes
    assert ("survives no lost node" in out) == (nodes == 1)


@pytest.mark.parametrize("args, says", [
    (["--rs", "8/6/4/10"], "k <= m <= o <= n"), (["--rs", "ten"], "four numbers"),
    (["--address", "localhost"], "no port"), (["--nodes", "0"], "at least one"),
    (["--database", "mysql://x"], "postgres://"), (["--segment-size", "1TB"], "64.0 MiB"),
    (["--databse", "x"], 'did you mean "database"'), (["extra"], "too much"),
    (["--log-level", "loud"], "log-level"),
])
def test_setup_refuses(tmp_path, args, says):
    process = satellite("setup", "--dir", tmp_path / "s", *args, check=False)
    assert process.returncode in (1, 2) and says in process.stderr, process.stderr
    assert not (tmp_path / "s" / "config").exists()


def test_setup_again_after_a_failure(tmp_path):
    directory = tmp_path / "s"
    failed = satellite("setup", "--dir", directory, "--database", "postgres://x@127.0.0.1:1/y", check=False)
    assert failed.returncode == 5 and "cannot reach the database" in failed.stderr
    identity = (directory / "identity.cert").read_bytes()
    satellite("setup", "--dir", directory, "--address", "127.0.0.1:0")
    assert (directory / "identity.cert").read_bytes() == identity


# ---- running ----

def test_runs_and_stops(made, start):
    assert "run the satellite first" in satellite("url", "--dir", made, check=False).stderr
    s = start("acre-satellite", made)
    address = s.serving()
    url = satellite("url", "--dir", made).stdout.strip()
    assert url.endswith("@" + address) and address.startswith("127.0.0.1:")
    begun = time.monotonic()
    assert s.stop() == 0
    assert time.monotonic() - begun < 5 * SLOW
    assert not (made / "address").exists()
    assert "satellite serves" in s.log() and "satellite stops" in s.log()


def test_stops_with_calls_under_way(made, start):
    s = start("acre-satellite", made)
    host, port = s.serving().split(":")
    sockets = [socket.create_connection((host, int(port))) for _ in range(20)]
    for i, c in enumerate(sockets):
        c.sendall(b"DRPC!!!1"[:i % 9])
    begun = time.monotonic()
    assert s.stop() == 0
    assert time.monotonic() - begun < 5 * SLOW
    for c in sockets:
        c.close()


def test_one_per_directory_and_port(made, start, tmp_path):
    s = start("acre-satellite", made)
    address = s.serving()
    second = satellite("run", "--dir", made, check=False)
    assert second.returncode == 1 and "in use" in second.stderr
    other = tmp_path / "other"
    satellite("setup", "--dir", other, "--address", address, "--development")
    third = satellite("run", "--dir", other, check=False)
    assert third.returncode != 0 and "in use" in third.stderr and address in third.stderr
    assert not (other / "address").exists()


def test_a_database_has_one_satellite(made, database, start, tmp_path):
    """Another identity is refused by setup and run; a copy of the identity serves beside (docs/satellite.md)."""
    of = database or ["--database", f"sqlite:{made}/satellite.db"]
    other = tmp_path / "other"
    refused = satellite("setup", "--dir", other, "--development", "--rs", "1/1/1/1", *of, check=False)
    assert refused.returncode != 0 and "the database is that of satellite" in refused.stderr, refused.stderr
    satellite("setup", "--dir", other, "--address", "127.0.0.1:0", "--development", "--rs", "1/1/1/1")
    run = subprocess.run([program("acre-satellite"), "run", "--dir", str(other), *of], check=False, text=True,
                         capture_output=True, timeout=60 * SLOW)
    assert run.returncode != 0 and "the database is that of satellite" in run.stderr, run.stderr
    if not database:
        return
    second = tmp_path / "second"
    second.mkdir(mode=0o700)
    for name in ("config", "identity.cert", "identity.key", "admin-token"):
        shutil.copy(made / name, second / name)
    addresses = [start("acre-satellite", directory).serving() for directory in (made, second)]
    assert addresses[0] != addresses[1]
    urls = [satellite("url", "--dir", directory).stdout.split("@")[0] for directory in (made, second)]
    assert urls[0] == urls[1]


def test_run_without_setup(tmp_path):
    process = satellite("run", "--dir", tmp_path, check=False)
    assert process.returncode == 2 and "acre-satellite setup" in process.stderr


def test_a_damaged_directory_says_so(made):
    key = made / "identity.key"
    good = key.read_bytes()
    key.write_bytes(good[:40])
    process = satellite("run", "--dir", made, check=False)
    assert process.returncode != 0 and "identity" in process.stderr
    key.write_bytes(good)
    (made / "config").write_text((made / "config").read_text() + "\nadress = 1:1\n")
    process = satellite("run", "--dir", made, check=False)
    assert process.returncode == 2 and 'did you mean "address"' in process.stderr and "line" in process.stderr


def test_log_level_and_flags_over_the_file(made, start):
    s = start("acre-satellite", made, "--log-level", "warn")
    s.serving()
    s.stop()
    assert "satellite serves" not in s.log()


# ---- keys, projects, backups while it runs ----

def test_keys_while_it_runs(made, start):
    start("acre-satellite", made).serving()
    project = satellite("project", "create", "--dir", made, "--name", "first").stdout.strip()
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", project)
    twice = satellite("project", "create", "--dir", made, "--name", "first", check=False)
    assert twice.returncode == 1 and "already" in twice.stderr
    keys = {satellite("apikey", "create", "--dir", made, "--project", p, "--name", n).stdout.strip()
            for p, n in [("first", "a"), (project, "b")]}
    assert len(keys) == 2 and all(re.fullmatch(r"1[1-9A-HJ-NP-Za-km-z]{80,}", k) for k in keys)
    missing = satellite("apikey", "create", "--dir", made, "--project", "other", check=False)
    assert missing.returncode == 3 and "project list" in missing.stderr
    unnamed = satellite("apikey", "create", "--dir", made, check=False)
    assert unnamed.returncode == 2 and "--project" in unnamed.stderr
    [listed] = json.loads(satellite("project", "list", "--dir", made, "--json").stdout)
    assert listed["name"] == "first" and listed["id"] == project and listed["keys"] == 2


def test_backup_while_it_runs(tmp_path, start):
    directory = tmp_path / "sat"
    satellite("setup", "--dir", directory, "--address", "127.0.0.1:0", "--development", "--rs", "1/1/1/1")
    s = start("acre-satellite", directory)
    s.serving()
    satellite("project", "create", "--dir", directory, "--name", "kept")
    copy = tmp_path / "copy.db"
    satellite("backup", "--dir", directory, copy)
    assert copy.stat().st_mode & 0o077 == 0
    with sqlite3.connect(copy) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("SELECT name FROM projects").fetchall() == [("kept",)]
    refused = satellite("backup", "--dir", directory, copy, check=False)
    assert refused.returncode == 1 and "overwrites nothing" in refused.stderr
    # What was backed up is a satellite again, elsewhere.
    s.stop()
    back = tmp_path / "back"
    back.mkdir()
    for name in ("config", "identity.cert", "identity.key"):
        (back / name).write_bytes((directory / name).read_bytes())
    copy.rename(back / "satellite.db")
    start("acre-satellite", back).serving()
    [listed] = json.loads(satellite("project", "list", "--dir", back, "--json").stdout)
    assert listed["name"] == "kept"


def test_backup_of_postgres_gives_advice(tmp_path, postgres):
    satellite("setup", "--dir", tmp_path / "s", "--development", "--database", postgres.database())
    process = satellite("backup", "--dir", tmp_path / "s", tmp_path / "x", check=False)
    assert process.returncode == 1 and "pg_dump" in process.stderr


def test_acknowledged_survives_kill(made, start):
    names = []
    for round_ in range(3):
        s = start("acre-satellite", made)
        s.serving()
        for i in range(3):
            names.append(f"p{round_}-{i}")
            satellite("project", "create", "--dir", made, "--name", names[-1])
        s.process.kill()
        s.process.wait()
        (made / "address").unlink(missing_ok=True)
    listed = json.loads(satellite("project", "list", "--dir", made, "--json").stdout)
    assert sorted(p["name"] for p in listed) == sorted(names)


# ---- nodes ----

def test_a_node_checks_in(made, start, tmp_path):
    start("acre-satellite", made).serving()
    url = satellite("url", "--dir", made).stdout.strip()
    n = start("acre-node", node(tmp_path / "node", url))
    address = n.serving()
    wait_until(lambda: [x["online"] for x in nodes_of(made)] == [True])
    [listed] = nodes_of(made)
    assert listed["last_ip_port"] == address and listed["free_disk"] > 0
    assert address in satellite("nodes", "--dir", made).stdout


def test_too_easy_an_identity_is_refused(made, start, tmp_path):
    s = start("acre-satellite", made, "--min-difficulty", "30")
    s.serving()
    url = satellite("url", "--dir", made).stdout.strip()
    n = start("acre-node", node(tmp_path / "node", url))
    wait_until(lambda: "difficulty" in n.log())
    assert nodes_of(made) == []


def test_private_addresses_are_refused_outside_of_development(tmp_path, start):
    directory = tmp_path / "sat"
    satellite("setup", "--dir", directory, "--address", "127.0.0.1:0", "--rs", "1/1/1/1", "--min-difficulty", "0")
    start("acre-satellite", directory).serving()
    url = satellite("url", "--dir", directory).stdout.strip()
    n = start("acre-node", node(tmp_path / "node", url))
    wait_until(lambda: "not allowed" in n.log())
    assert nodes_of(directory) == []


def test_nodes_stay_known_over_a_restart(made, start, tmp_path):
    s = start("acre-satellite", made)
    address = s.serving()
    url = satellite("url", "--dir", made).stdout.strip()
    start("acre-node", node(tmp_path / "node", url)).serving()
    wait_until(lambda: [x["online"] for x in nodes_of(made)] == [True])
    assert s.stop() == 0
    s = start("acre-satellite", made, "--address", address)
    s.serving()
    wait_until(lambda: "nodes_known=1 nodes_online=1" in s.log())


def test_a_clock_that_is_behind_says_so(tmp_path, start):
    directory = tmp_path / "sat"
    satellite("setup", "--dir", directory, "--address", "127.0.0.1:0", "--development", "--rs", "1/1/1/1")
    s = start("acre-satellite", directory)
    s.serving()
    url = satellite("url", "--dir", directory).stdout.strip()
    start("acre-node", node(tmp_path / "node", url)).serving()
    wait_until(lambda: nodes_of(directory) != [])
    assert s.stop() == 0
    # As after an hour turned back: what the database has lies in the future.
    with sqlite3.connect(directory / "satellite.db") as db:
        db.execute("UPDATE nodes SET updated_at = updated_at + 3600 * 1000000000")
    s = start("acre-satellite", directory)
    s.serving()
    wait_until(lambda: "clock" in s.log())


# ---- the database goes away ----

def test_database_not_reachable_at_start(tmp_path):
    directory = tmp_path / "sat"
    satellite("setup", "--dir", directory, "--development")
    process = satellite("run", "--dir", directory, "--database", "postgres://x@127.0.0.1:1/y", check=False)
    assert process.returncode == 5 and "cannot reach the database" in process.stderr
    assert not (directory / "address").exists()


def test_database_restarts_under_it(tmp_path, start, postgres):
    directory = tmp_path / "sat"
    satellite("setup", "--dir", directory, "--address", "127.0.0.1:0", "--development", "--rs", "1/1/1/1",
              "--database", postgres.database())
    s = start("acre-satellite", directory)
    s.serving()
    url = satellite("url", "--dir", directory).stdout.strip()
    satellite("project", "create", "--dir", directory, "--name", "p")
    postgres.stop()
    try:
        failed = satellite("project", "list", "--dir", directory, check=False)
        assert failed.returncode == 5 and "cannot reach the database" in failed.stderr
        assert s.process.poll() is None
    finally:
        postgres.resume()
    satellite("project", "list", "--dir", directory)
    # The daemon finds its way back, too: a node that is new to it is stored.
    start("acre-node", node(tmp_path / "node", url)).serving()
    wait_until(lambda: [x["online"] for x in nodes_of(directory)] == [True], 30 * SLOW)
    assert s.stop() == 0


def test_no_space_for_the_database(tmp_path, start):
    """A log that cannot grow, here by a limit on file sizes: check-ins are refused with the reason, the
    daemon goes on, and all is well once there is room."""
    directory = tmp_path / "sat"
    satellite("setup", "--dir", directory, "--address", "127.0.0.1:0", "--development", "--rs", "1/1/1/1")
    log = open(directory / "log", "ab")
    kilobytes = 34  # less than the start would write: the index of the log, and hardly any log
    limited = subprocess.Popen(["bash", "-c", f'ulimit -f {kilobytes}; exec "$@"', "sh", program("acre-satellite"),
                                "run", "--dir", str(directory)], stdin=subprocess.DEVNULL, stderr=log)
    try:
        wait_until(lambda: (directory / "address").exists())
        address = (directory / "address").read_text().strip()
        url = satellite("url", "--dir", directory).stdout.strip()
        nodes = [start("acre-node", node(tmp_path / f"node{i}", url)) for i in range(6)]
        wait_until(lambda: "check-in not stored" in (directory / "log").read_text())
        assert "the database takes no changes: reads are served" in (directory / "log").read_text()
        assert limited.poll() is None
        wait_until(lambda: any("the satellite has no room" in n.log() for n in nodes))
        limited.send_signal(signal.SIGTERM)
        assert limited.wait(timeout=TEN_SECONDS) == 0
    finally:
        if limited.poll() is None:
            limited.kill()
            limited.wait()
        log.close()
    for n in nodes:
        n.close()
    start("acre-satellite", directory, "--address", address).serving()
    for i in range(6):
        start("acre-node", tmp_path / f"node{i}")
    wait_until(lambda: [x["online"] for x in nodes_of(directory)] == [True] * 6)
