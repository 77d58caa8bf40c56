"""Fixtures for tests with real processes: networks made by `acre dev`, on SQLite and on PostgreSQL.

ACRE_BIN is the directory of the programs (default dist/bin).  Nothing listens beyond loopback; every
process that is started is ended by its id.
"""
import glob
import json
import os
import pwd
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(os.environ.get("ACRE_BIN", ROOT / "dist" / "bin"))
SLOW = 10 if "tsan" in str(BIN) or "asan" in str(BIN) or os.environ.get("ACRE_VALGRIND") else 1


def pytest_configure(config):
    config.addinivalue_line("markers", "chaos: everything at once, for minutes (tests/fault/test_chaos.py)")
    config.addinivalue_line("markers", "soak: the same things over and over, for minutes (tests/fault/test_soak.py)")


def program(name, directory=BIN):
    path = Path(directory) / name
    assert path.exists(), f"{path} is missing: run scripts/build"
    return str(path)


def free_address():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return "127.0.0.1:%d" % s.getsockname()[1]


class Result:
    def __init__(self, process):
        self.code, self.out, self.err = process.returncode, process.stdout, process.stderr

    @property
    def text(self):
        return self.out.decode(errors="replace")

    @property
    def errors(self):
        return self.err.decode(errors="replace")

    def json(self):
        return [json.loads(line) for line in self.text.splitlines() if line]


class Network:
    """A satellite and nodes in one directory, driven by `acre dev`; `bin` holds their programs."""

    def __init__(self, directory, nodes=10, rs="4/6/8/10", database=None, bin=BIN):
        self.dir, self.bin = Path(directory), bin
        self.nodes = nodes
        self.config = self.dir / "config"
        self.env = dict(os.environ, ACRE_CONFIG_DIR=str(self.config), HOME=str(self.dir))
        for name in ("ACRE_ACCESS", "UPLINK_ACCESS", "ACRE_PASSPHRASE"):
            self.env.pop(name, None)
        self.up_args = ["--nodes", str(nodes), "--rs", rs] + (["--database", database] if database else [])
        self.values = {}

    def up(self):
        self.acre("dev", "up", "--dir", self.dir / "net", *self.up_args, timeout=120 * SLOW)
        for line in self.acre("dev", "env", "--dir", self.dir / "net").text.splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            self.values[name] = value.strip("'")
        self.env["ACRE_ACCESS"] = self.values["ACRE_ACCESS"]
        return self

    def down(self):
        if (self.dir / "net" / "dev.json").exists():
            self.acre("dev", "down", "--dir", self.dir / "net", check=False, timeout=60 * SLOW)

    def kill(self, *names):
        self.acre("dev", "kill", "--dir", self.dir / "net", *names)

    def start(self, *names):
        self.acre("dev", "start", "--dir", self.dir / "net", *names, timeout=60 * SLOW)

    def status(self):
        return json.loads(self.acre("dev", "status", "--dir", self.dir / "net", "--output", "json").text)

    def pid(self, name):
        status = self.status()
        for process in [status["satellite"], *status["nodes"]]:
            if process["name"] == name:
                return process["pid"]
        raise KeyError(name)

    def acre(self, *args, check=True, timeout=60, env=None, **kwargs):
        process = subprocess.run([program("acre", self.bin), *map(str, args)], capture_output=True, check=False,
                                 timeout=timeout * SLOW, env=dict(self.env, **(env or {})), **kwargs)
        result = Result(process)
        if check:
            assert result.code == 0, f"acre {' '.join(map(str, args))}: {result.code}\n{result.errors}"
        return result

    def log(self, name):
        return (self.dir / "net" / name / "log").read_text(errors="replace")


class Second:
    """Another process of the same satellite: its identity, its database, an address of its own."""

    def __init__(self, net):
        self.dir, self.address = net.dir / "second", free_address()
        shutil.copytree(net.dir / "net" / "satellite", self.dir, ignore=shutil.ignore_patterns("address", "lock", "log"))
        self.log = open(net.dir / "second.log", "ab")
        self.process = subprocess.Popen([program("acre-satellite"), "run", "--dir", self.dir, "--address", self.address],
                                        stdin=subprocess.DEVNULL, stderr=self.log)
        end = time.monotonic() + 20 * SLOW
        while not (self.dir / "address").exists():
            assert time.monotonic() < end, "the second satellite does not serve"
            time.sleep(0.05)

    def grant(self, net):
        """An access that leads to this one."""
        satellite = net.values["ACRE_SATELLITE"].split("@")[0] + "@" + self.address
        return net.acre("access", "create", "--satellite-address", satellite, "--api-key", net.values["ACRE_API_KEY"],
                        env={"ACRE_PASSPHRASE": net.values["ACRE_PASSPHRASE"]}).text.strip()

    def close(self):
        self.process.terminate()
        try:
            return self.process.wait(timeout=30 * SLOW)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.log.close()


def postgres_bin():
    for directory in sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True):
        if (Path(directory) / "initdb").exists():
            return Path(directory)
    return None


class Postgres:
    """A throw-away cluster on a loopback port."""

    def __init__(self, directory):
        self.dir = Path(directory)
        self.bin = postgres_bin()
        self.as_user = []
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            self.as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
            self.dir.mkdir(parents=True, exist_ok=True)
            os.chown(self.dir, user.pw_uid, user.pw_gid)
            for parent in self.dir.parents:
                if parent != Path("/") and parent.stat().st_uid == 0:
                    parent.chmod(parent.stat().st_mode | 0o011)
        self.port = int(free_address().split(":")[1])
        self.databases = 0

    def run(self, *argv):
        subprocess.run([*self.as_user, str(self.bin / argv[0]), *map(str, argv[1:])], check=True, cwd="/",
                       capture_output=True, timeout=120)

    def start(self):
        self.run("initdb", "-D", self.dir / "data", "-U", "acre", "-A", "trust", "-E", "UTF8")
        self.resume()
        return self

    def resume(self):
        self.run("pg_ctl", "-D", self.dir / "data", "-w", "-l", self.dir / "log", "-o",
                 f"-p {self.port} -h 127.0.0.1 -k {self.dir}", "start")

    def stop(self, mode="fast"):
        self.run("pg_ctl", "-D", self.dir / "data", "-w", "-m", mode, "stop")

    def database(self):
        self.databases += 1
        name = f"test{self.databases}"
        self.run("createdb", "-h", "127.0.0.1", "-p", self.port, "-U", "acre", name)
        return f"postgres://acre@127.0.0.1:{self.port}/{name}"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    if not postgres_bin():
        pytest.skip("NO POSTGRESQL HERE: install the package postgresql to run these tests")
    # Sockets want a short path.
    directory = Path(subprocess.run(["mktemp", "-d", "/tmp/acre-pg.XXXXXX"], check=True, capture_output=True,
                                    text=True).stdout.strip())
    cluster = Postgres(directory).start()
    yield cluster
    cluster.stop("immediate")
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def network(request, tmp_path_factory):
    """A network of ten nodes, for tests that do not break it; each module runs on both databases."""
    database = request.getfixturevalue("postgres").database() if request.param == "postgres" else None
    net = Network(tmp_path_factory.mktemp("network"), database=database)
    try:
        yield net.up()
    finally:
        net.down()


@pytest.fixture
def small_network(tmp_path):
    """One of one's own, three nodes with a 1/1/2/3 code, to break."""
    net = Network(tmp_path, nodes=3, rs="1/1/2/3")
    try:
        yield net.up()
    finally:
        net.down()


@pytest.fixture
def bucket(network):
    name = "bucket-%x" % (time.monotonic_ns() & 0xffffffff)
    network.acre("mb", f"sj://{name}")
    yield name
    network.acre("rb", "--force", f"sj://{name}", check=False)
