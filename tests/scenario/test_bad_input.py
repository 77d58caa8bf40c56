"""What people and machines get wrong: each gives a clear message, soon, and nothing is lost."""
import json
import os
import signal
import socket
import subprocess
import time

import pytest

from conftest import Network, program


def test_wrong_usage(tmp_path):
    net = Network(tmp_path)
    for args, says in [(["cp"], "usage:"), (["cp", "a", "b"], "one side must be remote"),
                       (["ls", "bucket"], "want sj://"), (["nonsense"], "no command"),
                       (["cp", "--parallelism", "99999", "a", "sj://b/c"], "out of range"),
                       (["cp", "--paralellism", "2", "a", "sj://b/c"], 'did you mean "parallelism"'),
                       (["cat", "--range", "10-5", "sj://b/c"], "is no range"),
                       (["access"], "needs one of"), (["stat", "sj:///x"], "names no bucket")]:
        result = net.acre(*args, check=False, env={"ACRE_ACCESS": "x" * 120})
        assert result.code in (1, 2) and says in result.errors + result.text, (args, result.errors)
    for args in (["--help"], ["dev", "--help"], ["access", "-h"], ["cp", "--help"]):
        result = net.acre(*args, check=False)
        assert result.code == 0 and not result.errors and "usage:" in result.text, (args, result.errors)


def test_a_grant_cut_short(network):
    grant = network.values["ACRE_ACCESS"]
    for bad in (grant[:-5], grant[:150], grant + "x", grant.replace(grant[50], "0", 1)):
        result = network.acre("ls", "--access", bad, check=False)
        assert result.code != 0 and "access grant" in result.errors, result.errors
    assert "cut short" in network.acre("ls", "--access", grant[:60], check=False).errors


def test_satellite_down_says_so(small_network):
    small_network.acre("mb", "sj://bucket")
    small_network.kill("satellite")
    begun = time.monotonic()
    result = small_network.acre("ls", check=False, timeout=60)
    assert result.code == 5 and "connect" in result.errors, result.errors
    assert time.monotonic() - begun < 30
    small_network.start("satellite")
    small_network.acre("ls", "sj://bucket")


def test_too_few_nodes_says_so(small_network):
    small_network.acre("mb", "sj://bucket")
    small_network.kill("node1", "node2")
    result = small_network.acre("cp", "-", "sj://bucket/x", input=os.urandom(50_000), check=False, timeout=120)
    assert result.code != 0 and result.errors.strip(), result.errors
    assert small_network.acre("ls", "--output", "json", "sj://bucket").json() == []


def test_port_in_use(small_network):
    net = small_network.dir / "net"
    for name, binary in (("satellite", "acre-satellite"), ("node1", "acre-node")):
        argv = [program(binary), "run", "--dir", str(net / name)]
        again = subprocess.run(argv, capture_output=True, timeout=60)
        assert again.returncode != 0 and (b"already" in again.stderr or b"in use" in again.stderr), again.stderr
        small_network.kill(name)
        address = json.loads((net / "dev.json").read_text())["satellite" if name == "satellite" else "nodes"]
        address = address["address"] if name == "satellite" else address[0]["address"]
        with socket.create_server(("127.0.0.1", int(address.split(":")[1]))):
            process = subprocess.run(argv, capture_output=True, timeout=60)
            assert process.returncode != 0 and b"in use" in process.stderr, process.stderr
        small_network.start(name)


def test_node_refuses_a_foreign_disk(small_network):
    net = small_network.dir / "net"
    small_network.kill("node1", "node2")
    storage1, storage2 = net / "node1" / "storage", net / "node2" / "storage"
    storage1.rename(net / "aside")
    storage2.rename(storage1)
    process = subprocess.run([program("acre-node"), "run", "--dir", str(net / "node1")], capture_output=True,
                             timeout=60)
    assert process.returncode != 0 and b"another node" in process.stderr, process.stderr
    storage1.rename(storage2)
    process = subprocess.run([program("acre-node"), "run", "--dir", str(net / "node1")], capture_output=True,
                             timeout=60)
    assert process.returncode != 0 and b"storage" in process.stderr, process.stderr
    (net / "aside").rename(storage1)
    small_network.start("node1", "node2")


def test_full_target_disk(network, bucket):
    network.acre("cp", "-", f"sj://{bucket}/x", input=os.urandom(100_000))
    result = network.acre("cp", f"sj://{bucket}/x", "/dev/full", check=False)
    assert result.code == 1 and "space" in result.errors


def test_interrupt_leaves_nothing(network, bucket, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(os.urandom(30_000_000))
    process = subprocess.Popen([program("acre"), "cp", "--segment-size", "2MiB", str(source), f"sj://{bucket}/x"],
                               env=network.env, stderr=subprocess.PIPE)
    time.sleep(0.15)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    if process.returncode != 0:
        assert process.returncode == 130 and b"interrupted" in errors
        assert network.acre("ls", "--output", "json", f"sj://{bucket}").json() == []
        assert network.acre("ls", "--pending", "--output", "json", f"sj://{bucket}").json() == []


def test_garbage_on_the_ports(small_network):
    status = small_network.status()
    for process in [status["satellite"], *status["nodes"]]:
        host, port = process["address"].split(":")
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"DRPC!!!1" + os.urandom(500), os.urandom(8), b"DR"):
            with socket.create_connection((host, int(port))) as s:
                s.sendall(garbage)
                s.settimeout(20)
                if len(garbage) >= 8:
                    try:
                        while s.recv(4096):
                            pass
                    except ConnectionResetError:
                        pass
    small_network.acre("mb", "sj://still-alive")


def test_many_idle_connections_cost_little(small_network):
    satellite = small_network.status()["satellite"]
    host, port = satellite["address"].split(":")
    idle = [socket.create_connection((host, int(port))) for _ in range(200)]
    small_network.acre("ls")
    for s in idle:
        s.close()
    rss = int([line for line in open(f"/proc/{satellite['pid']}/status") if line.startswith("VmRSS")][0].split()[1])
    assert rss < 200_000
