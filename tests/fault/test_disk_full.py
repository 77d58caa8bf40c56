"""Disks that are full: the target of a download, the spool of an upload, nodes, the satellite.  Each
time the error says so, nothing half done is left, and with room again all goes on without a restart.

RLIMIT_FSIZE stands for the full disk where it can: a process may write no file beyond that size.  A
small tmpfs is the real thing where mounting is allowed.
"""
import contextlib
import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import time

import pytest

from conftest import SLOW, Network, program

MIB = 1 << 20
NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    network = Network(tmp_path_factory.mktemp("full"), nodes=6, rs="2/3/4/6")
    try:
        network.up()
        network.down()
        for i in range(6):
            with open(network.dir / "net" / f"node{i + 1}" / "config", "a") as config:
                config.write("\nfree-reserve = 0\nsegment-size = 64MiB\n")
        network.acre("dev", "up", "--dir", network.dir / "net")
        network.acre("mb", "sj://full")
        yield network
    finally:
        network.down()


@pytest.fixture(scope="module")
def big(net):
    data = random.Random(1).randbytes(5 * MIB)
    path = net.dir / "big"
    path.write_bytes(data)
    net.acre("cp", path, "sj://full/big", "--segment-size", 2 * MIB)
    return data


@contextlib.contextmanager
def disk(mount, size):
    """A tmpfs, or a loud skip."""
    mount.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", mount], capture_output=True,
                          check=False)
    if done.returncode:
        pytest.skip("CANNOT MOUNT A TMPFS HERE (needs root): " + done.stderr.decode(errors="replace").strip())
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", mount], check=True)


@pytest.fixture
def small_disk(tmp_path):
    with disk(tmp_path / "disk", "2m") as mount:
        yield mount


def fill(mount):
    """To the last byte; the file that takes the room."""
    filler = mount / "filler"
    with open(filler, "wb", buffering=0) as f, contextlib.suppress(OSError):
        while True:
            f.write(bytes(4096))
    return filler


def limited(limit):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def refused(result, *words):
    assert result.code not in (0, -signal.SIGXFSZ), (result.code, result.errors)
    text = result.errors.lower()
    assert any(word in text for word in words), f"does not say what is wrong: {result.errors}"


FULL = ("no space", "too large", "disk is full", "full")


def test_target_limited(net, big, tmp_path):
    target = tmp_path / "dir"
    target.mkdir()
    result = net.acre("cp", "sj://full/big", target / "copy", check=False, preexec_fn=limited(MIB))
    refused(result, *FULL)
    assert os.listdir(target) == [], "a part of the file is left"


def test_target_full(net, big, small_disk):
    result = net.acre("cp", "sj://full/big", small_disk / "copy", check=False)
    refused(result, *FULL)
    assert os.listdir(small_disk) == [], "a part of the file is left"
    (small_disk / "copy").write_bytes(b"old")
    refused(net.acre("cp", "sj://full/big", small_disk / "copy", check=False), *FULL)
    assert os.listdir(small_disk) == ["copy"] and (small_disk / "copy").read_bytes() == b"old"


def test_output_full(net, big):
    with open("/dev/full", "wb") as full:
        process = subprocess.run([program("acre"), "cat", "sj://full/big"], stdout=full, stderr=subprocess.PIPE,
                                 env=net.env, timeout=60 * SLOW, check=False)
    assert process.returncode != 0 and b"space" in process.stderr, (process.returncode, process.stderr)


def upload_with_full_spool(net, big, name, temp, **kwargs):
    """The spool is only for pieces that must go out again: the upload may go well without."""
    result = net.acre("cp", net.dir / "big", f"sj://full/{name}", "--segment-size", 4 * MIB, "--temp-dir", temp,
                      check=False, timeout=120, **kwargs)
    listed = [o["key"] for o in net.acre("ls", "--output", "json", "sj://full").json()]
    if result.code == 0:
        assert net.acre("cat", f"sj://full/{name}").out == big
    else:
        refused(result, *FULL)
        assert name not in listed, "an upload that failed is visible"
    assert os.listdir(temp) == [], "temporary files are left"


def test_spool_limited(net, big, tmp_path):
    upload_with_full_spool(net, big, "spool", tmp_path, preexec_fn=limited(MIB // 2))


def test_spool_full(net, big, small_disk):
    upload_with_full_spool(net, big, "spool2", small_disk)


def limit_process(net, name, limit):
    resource.prlimit(net.pid(name), resource.RLIMIT_FSIZE, limit)


def largest_file(directory):
    return max((os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(directory) for f in files), default=0)


def test_some_nodes_full(net, big):
    """Four of six can take every piece, so the upload goes well."""
    for name in ("node1", "node2"):
        limit_process(net, name, (64 << 10, resource.RLIM_INFINITY))
    net.acre("cp", net.dir / "big", "sj://full/some", "--segment-size", 2 * MIB, timeout=120)
    assert net.acre("cat", "sj://full/some").out == big
    for name in ("node1", "node2"):
        assert net.pid(name), f"{name} ended: {net.log(name)[-500:]}"
        limit_process(net, name, NO_LIMIT)


def test_all_nodes_full(net, big):
    names = [f"node{i + 1}" for i in range(6)]
    for name in names:
        limit_process(net, name, (64 << 10, resource.RLIM_INFINITY))
    result = net.acre("cp", net.dir / "big", "sj://full/none", check=False, timeout=120)
    assert result.code != 0 and "nodes took their piece" in result.errors, result.errors
    assert "none" not in [o["key"] for o in net.acre("ls", "--output", "json", "sj://full").json()]
    for name in names:
        assert net.pid(name), f"{name} ended: {net.log(name)[-500:]}"
        assert "disk" in net.log(name), "the node's log does not say that its disk is full"
        limit_process(net, name, NO_LIMIT)
    net.acre("cp", net.dir / "big", "sj://full/again", timeout=120)
    assert net.acre("cat", "sj://full/again").out == big
    assert net.acre("cat", "sj://full/big").out == big, "what was stored before"


def test_node_on_small_disk(net, small_disk):
    """A node whose disk is really full answers so, keeps what it acknowledged, and survives kills."""
    directory = net.dir / "net" / "node3"
    net.kill("node3")
    shutil.rmtree(directory / "kept", ignore_errors=True)
    os.rename(directory / "storage", directory / "kept")
    try:
        shutil.copytree(directory / "kept", small_disk / "storage", ignore=shutil.ignore_patterns("pieces", "index*"))
        (directory / "storage").symlink_to(small_disk / "storage")
        net.start("node3")
        stored = {}
        for i in range(24):
            data = random.Random(i).randbytes(300_000)
            result = net.acre("cp", "-", f"sj://full/small/{i}", input=data, check=False)
            assert result.code == 0, result.errors
            stored[i] = hashlib.sha256(data).hexdigest()
        assert net.pid("node3"), net.log("node3")[-500:]
        assert "upload refused" in net.log("node3") or "disk is full" in net.log("node3"), "it never was full"
        net.kill("node3")
        net.start("node3")
        for i, digest in stored.items():
            assert hashlib.sha256(net.acre("cat", f"sj://full/small/{i}").out).hexdigest() == digest
    finally:
        net.kill("node3")
        os.unlink(directory / "storage")
        os.rename(directory / "kept", directory / "storage")
        net.start("node3")


def test_satellite_full(net, big):
    """Its database cannot grow: every upload is refused with words, nothing of it is visible, reads
    go on, and with room again so do uploads."""
    database = net.dir / "net" / "satellite"
    limit_process(net, "satellite", (largest_file(database) + 4096, resource.RLIM_INFINITY))
    failed = []
    for i in range(40):
        result = net.acre("cp", "-", f"sj://full/meta/{i:02}", input=os.urandom(3000), check=False)
        if result.code:
            assert len(result.errors) > 20, result.errors
            failed.append(f"meta/{i:02}")
            if len(failed) >= 5:
                break
    assert failed, "the satellite's disk never was full"
    assert net.pid("satellite"), net.log("satellite")[-500:]
    assert net.acre("cat", "sj://full/big").out == big
    limit_process(net, "satellite", NO_LIMIT)
    listed = {o["key"] for o in net.acre("ls", "-r", "--output", "json", "sj://full").json()}
    assert not listed & set(failed), "uploads that failed are visible"
    net.acre("cp", net.dir / "big", "sj://full/meta/last", timeout=120)
    assert net.acre("cat", "sj://full/meta/last").out == big


@contextlib.contextmanager
def satellite_running(net, log):
    """Not by `acre dev`, which reads the address file that a full disk has no room for."""
    directory = net.dir / "net" / "satellite"
    address = net.status()["satellite"]["address"]
    with open(log, "ab") as out:
        process = subprocess.Popen([program("acre-satellite"), "run", "--dir", directory, "--log-level", "debug"],
                                   stdin=subprocess.DEVNULL, stderr=out)
    try:
        deadline = time.monotonic() + 20 * SLOW
        while "satellite serves" not in log.read_text():
            assert process.poll() is None, f"it ended: {log.read_text()[-1000:]}"
            assert time.monotonic() < deadline, log.read_text()[-1000:]
            time.sleep(0.05)
        yield process
        assert process.poll() is None, f"{address}: it ended: {log.read_text()[-1000:]}"
        process.terminate()
        assert process.wait(timeout=20 * SLOW) == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def put(net, name, data, **kwargs):
    return net.acre("cp", "-", f"sj://full/{name}", input=data, **kwargs)


def refuses_until_there_is_room(net, log, filler, stored):
    """On a full disk the satellite has just started: what was there is read, nothing is taken, and the
    reason is in the answer and in the log; then there is room, and it is as before."""
    for name, data in stored.items():
        assert net.acre("cat", f"sj://full/{name}").out == data
    listed = {o["key"] for o in net.acre("ls", "-r", "--output", "json", "sj://full").json()}
    assert set(stored) <= listed
    failed = set()
    for i in range(40):
        result = put(net, f"no/{i:02}", os.urandom(3000), check=False)
        if result.code:
            refused(result, "no room")
            failed.add(f"no/{i:02}")
            if len(failed) == 3:
                break
    assert failed, "the disk never was full"
    assert "the database has no room" in log.read_text(), log.read_text()[-1000:]
    filler.unlink()
    put(net, "room", b"again", timeout=60)
    assert net.acre("cat", "sj://full/room").out == b"again"
    assert "the database has room again" in log.read_text(), log.read_text()[-1000:]
    listed = {o["key"] for o in net.acre("ls", "-r", "--output", "json", "sj://full").json()}
    assert not listed & failed and set(stored) <= listed, "uploads that failed are visible"


def check(net):
    done = subprocess.run([program("acre-satellite"), "check", "--dir", net.dir / "net" / "satellite"],
                          capture_output=True, text=True, timeout=60 * SLOW, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def wait_for_chores(net):
    """Chores whose rows there was no room for come once there is."""
    deadline = time.monotonic() + 20 * SLOW
    while True:
        done = subprocess.run([program("acre-satellite"), "chores", "--dir", net.dir / "net" / "satellite"],
                              capture_output=True, text=True, timeout=60 * SLOW, check=False)
        if done.returncode == 0 and "segment-loop" in done.stdout and "roll-up" in done.stdout:
            return
        assert time.monotonic() < deadline, done.stdout + done.stderr
        time.sleep(0.2)


def test_satellite_starts_full(net, big, tmp_path):
    """Its disk has not one free byte when it starts, after a kill and after an orderly end."""
    directory, log = net.dir / "net" / "satellite", tmp_path / "log"
    log.touch()
    put(net, "inline", b"small")
    net.kill("satellite")
    with disk(tmp_path / "disk", "24m") as mount:
        shutil.move(directory, mount / "satellite")
        directory.symlink_to(mount / "satellite")
        try:
            for _ in range(2):
                filler = fill(mount)
                with satellite_running(net, log):
                    refuses_until_there_is_room(net, log, filler, {"big": big, "inline": b"small"})
                    wait_for_chores(net)
                check(net)
                log.write_text("")
        finally:
            directory.unlink()
            shutil.move(mount / "satellite", directory)
            net.start("satellite")
    assert net.acre("cat", "sj://full/big").out == big


def test_satellite_starts_full_postgres(postgres, tmp_path):
    """The disk of PostgreSQL's tables has no room when it starts."""
    url, log = postgres.database(), tmp_path / "log"
    log.touch()
    psql = ["psql", "-h", "127.0.0.1", "-p", postgres.port, "-U", "acre", "-d", "postgres", "-qc"]
    name = url.rsplit("/", 1)[1]
    with disk(postgres.dir / "disk", "48m") as mount:
        (mount / "space").mkdir()
        if postgres.as_user:
            shutil.chown(mount, "postgres")
            shutil.chown(mount / "space", "postgres")
        postgres.run(*psql, f"CREATE TABLESPACE small LOCATION '{mount / 'space'}'")
        postgres.run(*psql, f"ALTER DATABASE {name} SET TABLESPACE small")
        net = Network(tmp_path / "net", nodes=3, rs="1/1/2/3", database=url)
        net.dir.mkdir()
        try:
            net.up()
            net.acre("mb", "sj://full")
            stored = {"inline": b"small", "remote": os.urandom(100_000)}
            for key, data in stored.items():
                put(net, key, data)
            net.kill("satellite")
            filler = fill(mount)
            with satellite_running(net, log):
                refuses_until_there_is_room(net, log, filler, stored)
                wait_for_chores(net)
            check(net)
        finally:
            net.down()
            postgres.run(*psql, f"DROP DATABASE {name} WITH (FORCE)")
            postgres.run(*psql, "DROP TABLESPACE small")
