"""What an operator does with acre-node: many identities, status, reload, maintenance, bad disks, the sandbox."""
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

from conftest import SLOW, free_address, program

# Nobody listens there: nodes try to check in and go on without.
NOWHERE = "12EayRS2V1kEsWESU9QMRseFhdxYxKicsiFmxrsLZHeLUtdps3S@127.0.0.1:1"


def acre_node(*args, check=True, timeout=60):
    result = subprocess.run([program("acre-node"), *map(str, args)], capture_output=True, text=True, check=False,
                            timeout=timeout * SLOW)
    assert not check or result.returncode == 0, f"acre-node {args}: {result.stderr}"
    return result


def set_up(directory, *args):
    acre_node("setup", "--dir", directory, "--satellite", NOWHERE, "--address", "127.0.0.1:0", "--space", "1GB",
              "--free-reserve", "0", "--difficulty", "8", *args)
    return directory


def wait_until(what, seconds=60):
    end = time.monotonic() + seconds * SLOW
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)


class Farm:
    def __init__(self, directory, *args):
        self.dir = directory
        self.log_file = open(directory / "log", "ab")
        self.process = subprocess.Popen([program("acre-node"), "run", "--dir", str(directory), *map(str, args)],
                                        stdin=subprocess.DEVNULL, stdout=self.log_file, stderr=self.log_file)
        wait_until(lambda: (directory / "control").exists() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log()

    def log(self):
        return (self.dir / "log").read_text(errors="replace")

    def status(self, *args):
        return json.loads(acre_node("status", *args, "--json", "--dir", self.dir).stdout)

    def nodes(self):
        return {n["name"]: n for n in self.status()["nodes"]}

    def states(self):
        return {name: n["state"] for name, n in self.nodes().items()}

    def wait(self, **states):
        wait_until(lambda: self.states() == states)

    def ask(self, *args, check=True):
        return acre_node(*args, "--dir", self.dir, check=check)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log_file.close()


@pytest.fixture
def start():
    running = []

    def begin(directory, *args):
        running.append(Farm(directory, *args))
        return running[-1]
    yield begin
    for farm in running:
        farm.close()


@pytest.fixture
def farm(tmp_path, start):
    for name in "abc":
        set_up(tmp_path / "nodes" / name)
    f = start(tmp_path)
    f.wait(a="running", b="running", c="running")
    return f


def reachable(address):
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=10 * SLOW).close()
        return True
    except ConnectionRefusedError:
        return False


def test_many_identities_in_one_process(farm):
    status = farm.status()
    assert status["version"] == 1 and status["running"] and status["pid"] == farm.process.pid
    nodes = status["nodes"]
    assert len({n["id"] for n in nodes}) == 3 and all(reachable(n["address"]) for n in nodes)
    assert all(n["allocated"] == 10**9 and n["used"] == 0 and n["store"] == "ready" for n in nodes)
    # One of them, by its name or its own directory; and an unknown one.
    assert [n["name"] for n in farm.status("b")["nodes"]] == ["b"]
    by_dir = json.loads(acre_node("status", "--json", "--dir", farm.dir / "nodes" / "c").stdout)
    assert [n["name"] for n in by_dir["nodes"]] == ["c"]
    assert "no node" in farm.ask("status", "x", check=False).stderr
    text = farm.ask("status").stdout
    assert "the satellite cannot be reached" in text and "tried again" in text
    # No thread belongs to an identity: the pools' idle threads end, three fixed ones and main stay.
    wait_until(lambda: len(os.listdir(f"/proc/{farm.process.pid}/task")) <= 5)


def test_maintenance_of_one(farm):
    address = farm.nodes()["b"]["address"]
    farm.ask("maintenance", "on", "b")
    farm.wait(a="running", b="maintenance", c="running")
    wait_until(lambda: not reachable(address))
    # Its disk is free to go.
    assert not any("/nodes/b/storage" in os.readlink(f"/proc/{farm.process.pid}/fd/{fd}")
                   for fd in os.listdir(f"/proc/{farm.process.pid}/fd"))
    farm.ask("maintenance", "off", "b")
    farm.wait(a="running", b="running", c="running")
    farm.ask("maintenance", "on", "--for", "1s")
    farm.wait(a="maintenance", b="maintenance", c="maintenance")
    farm.wait(a="running", b="running", c="running")
    farm.ask("restart", "a")
    wait_until(lambda: farm.log().count("node stopped node=a") == 2)
    farm.wait(a="running", b="running", c="running")


@pytest.mark.parametrize("how", ["gone", "foreign"])
def test_a_bad_disk_stops_one_identity_only(farm, how):
    storage, aside = farm.dir / "nodes" / "b" / "storage", farm.dir / "aside"
    address = farm.nodes()["b"]["address"]
    farm.ask("maintenance", "on", "b")
    farm.wait(a="running", b="maintenance", c="running")
    storage.rename(aside)
    if how == "foreign":
        storage.mkdir()
        (storage / "storage-dir-verification").write_bytes(
            (farm.dir / "nodes" / "a" / "storage" / "storage-dir-verification").read_bytes())
    farm.ask("maintenance", "off", "b")
    farm.wait(a="running", b="failed", c="running")
    node = farm.nodes()["b"]
    assert ("mounted" if how == "gone" else "another node") in node["why"]
    assert node["worries"][0]["what"] == node["why"]
    assert not reachable(address), "a node without its disk answered"
    if how == "foreign":
        (storage / "storage-dir-verification").unlink()
        storage.rmdir()
    aside.rename(storage)
    farm.ask("restart", "b")
    farm.wait(a="running", b="running", c="running")


def test_disk_that_goes_while_it_serves(tmp_path, start):
    set_up(tmp_path / "nodes" / "a")
    f = start(tmp_path)
    f.wait(a="running")
    (tmp_path / "nodes" / "a" / "storage").rename(tmp_path / "aside")
    # Noticed within a minute by itself; a new start looks at once.
    f.ask("restart", "a")
    f.wait(a="failed")
    assert "mounted" in f.nodes()["a"]["why"]
    (tmp_path / "aside").rename(tmp_path / "nodes" / "a" / "storage")
    wait_until(lambda: f.states() == {"a": "running"}, 60)


def test_reload(farm):
    config = farm.dir / "nodes" / "a" / "config"
    before = farm.nodes()["a"]
    config.write_text(re.sub(r"^space = .*$", "space = 2GB", config.read_text(), flags=re.M) +
                      "\nemail = me@example.com\nsegment-size = 2MiB\n")
    out = farm.ask("reload").stdout
    assert out == "a: segment-size changes when the node is restarted\n"
    after = farm.nodes()["a"]
    assert after["allocated"] == 2 * 10**9 and after["started"] == before["started"]
    # By signal, too; and a new identity, and one less.
    set_up(farm.dir / "nodes" / "d")
    (farm.dir / "nodes" / "b" / "config").rename(farm.dir / "nodes" / "b" / "not-config")
    farm.process.send_signal(signal.SIGHUP)
    farm.wait(a="running", c="running", d="running")
    # What is wrong changes nothing and is told.
    config.write_text("spice = 1GB\n")
    assert "did you mean" in farm.ask("reload").stdout
    assert farm.nodes()["a"]["allocated"] == 2 * 10**9


def test_reload_drops_no_transfer(small_network, tmp_path):
    net = small_network.dir / "net"
    source = tmp_path / "source"
    source.write_bytes(os.urandom(48_000_000))
    small_network.acre("mb", "sj://bucket")
    pids = [small_network.pid(f"node{i}") for i in (1, 2, 3)]
    upload = subprocess.Popen([program("acre"), "cp", str(source), "sj://bucket/x"], env=small_network.env)
    reloads = 0
    while upload.poll() is None:
        for pid in pids:
            os.kill(pid, signal.SIGHUP)
        acre_node("reload", "--dir", net / "node1")
        reloads += 1
    assert upload.returncode == 0 and reloads > 0
    small_network.acre("cp", "sj://bucket/x", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    nodes = [json.loads(acre_node("status", "--json", "--dir", net / f"node{i}").stdout)["nodes"][0]
             for i in (1, 2, 3)]
    assert all(node["satellites"][0]["state"] == "ok" for node in nodes)
    # Two of three pieces are enough: the slowest is cut off by the client, none by a reload.
    assert sum(node["uploads-failed"] for node in nodes) <= 1


def test_upload_hours(tmp_path, start):
    hour = time.localtime().tm_hour
    closed = f"{(hour + 3) % 24}-{(hour + 5) % 24}"
    f = start(set_up(tmp_path / "node", "--upload-hours", closed))
    wait_until(lambda: f.nodes()["node"]["store"] == "served, no uploads")
    assert f.nodes()["node"]["available"] == 0
    config = f.dir / "config"
    config.write_text(config.read_text().replace(f"upload-hours = {closed}", "upload-hours ="))
    f.ask("reload")
    wait_until(lambda: f.nodes()["node"]["store"] == "ready")
    assert "want spans" in acre_node("run", "--dir", tmp_path / "node", "--upload-hours", "25-3", check=False).stderr


def test_stop_is_quick(farm):
    sockets = []
    for node in farm.nodes().values():
        host, port = node["address"].rsplit(":", 1)
        sockets.append(socket.create_connection((host, int(port))))  # a handshake that never comes
    began = time.monotonic()
    farm.ask("stop")
    assert farm.process.wait(10 * SLOW) == 0 and time.monotonic() - began < 5 * SLOW
    assert not (farm.dir / "control").exists()
    for s in sockets:
        s.close()
    text = acre_node("status", "--dir", farm.dir).stdout
    assert "no node runs" in text
    assert json.loads(acre_node("status", "--json", "--dir", farm.dir).stdout) == {"version": 1, "running": False}
    assert "no node runs" in farm.ask("reload", check=False).stderr


def test_config_of_a_storj_node(tmp_path, start):
    """Its file and flags are taken over as they are; what means nothing here is told."""
    directory, address = tmp_path / "storj", free_address()
    directory.mkdir()
    (directory / "config.yaml").write_text(f"""# how frequently bandwidth usage rollups are calculated
# bandwidth.interval: 1h0m0s

console.address: 127.0.0.1:14002
contact.external-address: {address}
log.level: info
operator.email: "me@example.com"
operator.wallet: '0x1234'
operator.wallet-features: ""
server.address: {address}
server.private-address: 127.0.0.1:7778
storage.allocated-disk-space: 1.00 GB
storage.path: $CONFDIR/my store
storage2.monitor.minimum-disk-space: 1 GB
storage2.trust.exclusions: us1.storj.io, 121RTSDpyNZVcEU84Ticf2L1ntiuUimbWgfATz21tuvgk3vzoA6@
storage2.trust.sources: {NOWHERE}, https://static.storj.io/dcs-satellites
""")
    # Nobody outside is to be reached: all of Storj's satellites are excluded here.
    every = "eu1.storj.io,ap1.storj.io,saltlake.tardigrade.io,us1.storj.io"
    flags = ("--storage2.trust.exclusions", every, "--version.interval", "3h", "--metrics.addr=", "--debug.addr=")
    acre_node("setup", "--config-dir", directory, "--difficulty", "8", *flags)
    assert not (directory / "config").exists()
    f = start(directory, *flags)
    node = f.nodes()["node"]
    assert node["address"] == address and node["allocated"] == 10**9
    assert node["storage"] == str(directory / "my store")
    assert [s["address"] for s in node["satellites"]] == ["127.0.0.1:1"]
    told = re.search(r"mean nothing here names=\"([^\"]*)\"", f.log()).group(1).split()
    assert set(told) == {"console.address", "operator.wallet-features", "server.private-address",
                         "storage2.monitor.minimum-disk-space", "version.interval", "metrics.addr", "debug.addr"}


@pytest.mark.skipif(SLOW > 1, reason="sanitizers watch what the sandbox forbids")
def test_sandbox(tmp_path, start):
    f = start(set_up(tmp_path / "node"))
    status = (tmp_path.__class__("/proc") / str(f.process.pid) / "status").read_text()
    assert re.search(r"^NoNewPrivs:\s1$", status, re.M) and re.search(r"^Seccomp:\s2$", status, re.M)
    assert "sandboxed" in f.log()
    # Of every thread.
    for thread in (tmp_path.__class__("/proc") / str(f.process.pid) / "task").iterdir():
        assert re.search(r"^Seccomp:\s2$", (thread / "status").read_text(), re.M)


def test_sandbox_drops_root(tmp_path, start):
    if os.getuid() != 0:
        pytest.skip("ONLY ROOT CAN BECOME ANOTHER USER")
    import pwd
    nobody = pwd.getpwnam("nobody")
    directory = set_up(tmp_path / "node")
    for parent in [directory, *directory.parents]:
        if parent != parent.parent and parent.stat().st_uid == 0:
            parent.chmod(parent.stat().st_mode | 0o011)
    for path in [directory, *directory.rglob("*")]:
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    f = start(directory, "--user", "nobody")
    assert os.stat(f"/proc/{f.process.pid}").st_uid == nobody.pw_uid
    assert f.states() == {"node": "running"}
    bad = acre_node("run", "--dir", directory, "--user", "nobody-at-all", check=False)
    assert "no user" in bad.stderr


def test_console(farm):
    address = free_address()
    log = farm.dir / "console-log"
    with open(log, "wb") as out:
        console = subprocess.Popen([program("acre-node"), "console", "--dir", str(farm.dir), "--listen", address],
                                   stderr=out)
    try:
        wait_until(lambda: b"console serves" in log.read_bytes() or console.poll() is not None)
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            text = answer.read().decode()
        families = {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split()
                assert name not in families
                families[name] = kind
            elif not line.startswith("#"):
                name, labels, value = re.fullmatch(r'(\w+)(\{(?:\w+="[^"]*",?)*\})? ([-+.\de]+)', line).groups()
                assert name in families
                float(value)
        assert text.count("acre_node_allocated{") == 3 and families["acre_node_uploads"] == "counter"
        for path, code in (("/", 200), ("/x", 404)):
            try:
                assert urllib.request.urlopen(f"http://{address}{path}", timeout=30).status == code
            except urllib.error.HTTPError as e:
                assert e.code == code
        farm.ask("stop")
        farm.process.wait(10 * SLOW)
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"http://{address}/metrics", timeout=30)
        assert error.value.code == 503
    finally:
        console.terminate()
        console.wait(30)


def test_control_socket_takes_nothing_else(farm):
    """Bad lines get an error and an end, silent askers do not hold up others for long."""
    def ask(line):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30 * SLOW)
            s.connect(str(farm.dir / "control"))
            s.sendall(line)
            data = b""
            while chunk := s.recv(65536):
                data += chunk
            return data
    assert os.stat(farm.dir / "control").st_mode & 0o777 == 0o600
    for line in (b"GET / HTTP/1.1\r\n", b"acre-node 2 status json\n", b"acre-node 1 status xml\n",
                 b"acre-node 1 stop a\n", b"x" * 512, b"acre-node 1 \x1b[2J\n"):
        assert ask(line).startswith(b"error ERR_FORMAT "), line
    silent = socket.socket(socket.AF_UNIX)
    silent.connect(str(farm.dir / "control"))
    head, _, body = ask(b"acre-node 1 status json a\n").partition(b"\n")
    assert head == b"ok %d" % len(body) and json.loads(body)["nodes"][0]["name"] == "a"
    silent.close()
