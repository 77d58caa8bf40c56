"""Transfers that are killed and continued: nothing is sent twice that was stored, nothing is encrypted twice
under one key, and what cannot be continued starts over."""
import os
import random
import re
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from conftest import SLOW, Network, program

MIB = 1 << 20
SLOT = 16 << 10
SIZE = 6 * MIB + 12345
UP = ["cp", "--resume", "--segment-size", "1MiB"]
DOWN = ["cp", "--resume"]


def content(seed):
    return random.Random(seed).randbytes(SIZE)


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    network = Network(tmp_path_factory.mktemp("resume"))
    try:
        yield network.up()
    finally:
        network.down()


@pytest.fixture
def place(net, tmp_path):
    """A bucket, and a directory for files."""
    name = "resume-%x" % (time.monotonic_ns() & 0xffffffff)
    net.acre("mb", f"sj://{name}")
    yield name, tmp_path
    assert net.acre("ls", "--pending", "--output", "json", f"sj://{name}").json() == []
    assert states(net) == []
    net.acre("rb", "--force", f"sj://{name}", check=False)


def states(net):
    directory = net.config / "resume"
    return list(directory.iterdir()) if directory.exists() else []


def interrupted(net, args, ready, how=signal.SIGKILL):
    """Runs acre until ready() is true for the first time, then ends it; its error text."""
    process = subprocess.Popen([program("acre"), *map(str, args)], env=net.env, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60 * SLOW
    try:
        while not ready():
            assert process.poll() is None, process.stderr.read().decode()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(how)
        return process.communicate(timeout=30 * SLOW)[1].decode()
    finally:
        process.kill()
        process.wait()


def rewritten(paths, times):
    """A condition: the state among paths() has been written so often (each slot has a salt of its own)."""
    seen = set()

    def ready():
        for path in paths():
            try:
                data = Path(path).read_bytes()
            except FileNotFoundError:
                continue
            seen.update(data[at + 16:at + 48] for at in range(0, len(data) // SLOT * SLOT, SLOT))
        return len(seen) >= times
    return ready


def killed_upload(net, source, target, how=signal.SIGKILL):
    # Begun, and at least two segments stored.
    ready = rewritten(lambda: states(net), 3)
    return interrupted(net, [*UP, "--limit-rate", "5MiB", source, target], ready, how)


def killed_download(net, source, target, how=signal.SIGKILL):
    ready = rewritten(lambda: [f"{target}.acre-resume"], 1)
    return interrupted(net, [*DOWN, "--limit-rate", "1500KiB", source, target], ready, how)


def continued_at(text):
    found = re.search(r"continuing at byte (\d+)", text)
    return int(found.group(1)) if found else 0


def keys(net):
    """(key nonce, wrapped key) of all segments the satellite knows."""
    with sqlite3.connect(f"file:{net.dir}/net/satellite/satellite.db?mode=ro", uri=True) as db:
        return db.execute("SELECT key_nonce, encrypted_key FROM segments").fetchall()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_upload_goes_on(net, place, how):
    bucket, tmp = place
    source = tmp / "source"
    source.write_bytes(content(1))
    killed_upload(net, source, f"sj://{bucket}/file", how)
    kept = keys(net)
    assert len(kept) >= 2
    again = net.acre(*UP, source, f"sj://{bucket}/file")
    assert 2 * MIB <= continued_at(again.errors) < SIZE
    assert net.acre("cat", f"sj://{bucket}/file").out == content(1)
    # What was stored is used; each segment has a key of its own.
    now = keys(net)
    assert set(kept) <= set(now) and len({nonce for nonce, _ in now}) == len({key for _, key in now}) == len(now)


@pytest.mark.parametrize("touch_back", [False, True])
def test_no_key_is_used_for_other_bytes(net, place, touch_back):
    """The file changes between the tries, even so that its size and time do not show it."""
    bucket, tmp = place
    source = tmp / "source"
    source.write_bytes(content(2))
    before = source.stat()
    killed_upload(net, source, f"sj://{bucket}/file")
    old = keys(net)
    assert len(old) >= 2
    with open(source, "r+b") as file:
        file.write(content(3))
    if touch_back:
        os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    again = net.acre(*UP, source, f"sj://{bucket}/file")
    assert "changed since" in again.errors and not continued_at(again.errors)
    assert net.acre("cat", f"sj://{bucket}/file").out == content(3)
    new = keys(net)
    assert not {nonce for nonce, _ in old} & {nonce for nonce, _ in new}
    assert not {key for _, key in old} & {key for _, key in new}


def test_killed_again_and_again(net, place):
    bucket, tmp = place
    source = tmp / "source"
    source.write_bytes(content(4))
    reached = 0
    for _ in range(3):
        # Each time the state is written at least once more than it was.
        times = sum(len(path.read_bytes()) // SLOT for path in states(net))
        written = rewritten(lambda: states(net), times + 1)
        text = interrupted(net, [*UP, "--limit-rate", "5MiB", source, f"sj://{bucket}/file"], written)
        assert continued_at(text) >= reached
        reached = continued_at(text)
    net.acre(*UP, source, f"sj://{bucket}/file")
    assert net.acre("cat", f"sj://{bucket}/file").out == content(4)


def test_upload_state_of_others_or_damaged(net, place):
    bucket, tmp = place
    source = tmp / "source"
    source.write_bytes(content(5))
    target = f"sj://{bucket}/file"
    for spoil in (lambda data: bytes(b ^ 0x55 if 64 <= i % 16384 < 80 else b for i, b in enumerate(data)),
                  lambda data: b"no state at all",
                  lambda data: data[:8] + bytes(8) + data[16:16384]):
        killed_upload(net, source, target)
        [state] = states(net)
        state.write_bytes(spoil(state.read_bytes()))
        again = net.acre(*UP, source, target)
        assert "cannot be continued: its state" in again.errors
        assert net.acre("cat", target).out == content(5)
        # The pending object cannot be known any more; the satellite would remove it in time.
        net.acre("rm", "--pending", target)


def test_the_satellite_forgot(net, place):
    bucket, tmp = place
    source = tmp / "source"
    source.write_bytes(content(6))
    killed_upload(net, source, f"sj://{bucket}/file")
    net.acre("rm", "--pending", f"sj://{bucket}/file")
    again = net.acre(*UP, source, f"sj://{bucket}/file")
    assert "starts from the beginning" in again.errors
    assert net.acre("cat", f"sj://{bucket}/file").out == content(6)


def test_other_options_start_over(net, place):
    bucket, tmp = place
    source = tmp / "source"
    source.write_bytes(content(7))
    killed_upload(net, source, f"sj://{bucket}/file")
    again = net.acre(*UP, "--expires", "+24h", source, f"sj://{bucket}/file")
    assert "have changed since" in again.errors
    [info] = net.acre("stat", "--output", "json", f"sj://{bucket}/file").json()
    assert info["expires"] and info["size"] == SIZE


def test_one_upload_at_a_time(net, place):
    bucket, tmp = place
    source = tmp / "source"
    source.write_bytes(content(8))
    answers = []

    def ready(enough=rewritten(lambda: states(net), 2)):
        if enough() and not answers:
            answers.append(net.acre(*UP, source, f"sj://{bucket}/file", check=False))
        return bool(answers)
    interrupted(net, [*UP, "--limit-rate", "3MiB", source, f"sj://{bucket}/file"], ready)
    assert answers[0].code == 1 and "under way" in answers[0].errors
    net.acre(*UP, source, f"sj://{bucket}/file")
    assert net.acre("cat", f"sj://{bucket}/file").out == content(8)


def test_default_is_above_64_mib(net, place):
    bucket, tmp = place
    source = tmp / "source"
    source.write_bytes(content(9))
    made = rewritten(lambda: states(net), 1)
    net.acre("cp", "--segment-size", "1MiB", source, f"sj://{bucket}/file")
    assert not made()
    with open(source, "ab") as file:
        file.truncate(65 * MIB)
    interrupted(net, ["cp", "--limit-rate", "100MiB", "--segment-size", "16MiB", source, f"sj://{bucket}/file"], made)
    # Without --resume nothing is kept; the state of before is left alone, so clean up here.
    net.acre("cp", source, f"sj://{bucket}/file", timeout=120)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_download_goes_on(net, place, how):
    bucket, tmp = place
    net.acre("cp", "-", f"sj://{bucket}/file", input=content(10))
    target = tmp / "target"
    killed_download(net, f"sj://{bucket}/file", target, how)
    assert not target.exists() and Path(f"{target}.acre-partial").exists()
    again = net.acre(*DOWN, f"sj://{bucket}/file", target)
    assert 0 < continued_at(again.errors) < SIZE
    assert target.read_bytes() == content(10)
    assert sorted(p.name for p in tmp.iterdir()) == ["target"]


def spoil_partial(net, bucket, target):
    with open(f"{target}.acre-partial", "r+b") as file:
        file.write(b"\0" * SIZE)


def cut_partial(net, bucket, target):
    os.truncate(f"{target}.acre-partial", 1000)


def remove_partial(net, bucket, target):
    os.unlink(f"{target}.acre-partial")


def spoil_state(net, bucket, target):
    Path(f"{target}.acre-resume").write_bytes(b"ACRERES1" + bytes(1000))


def replace_object(net, bucket, target):
    net.acre("cp", "-", f"sj://{bucket}/file", input=content(12))


def shorten_object(net, bucket, target):
    net.acre("cp", "-", f"sj://{bucket}/file", input=content(12)[:5000])


@pytest.mark.parametrize("spoil", [spoil_partial, cut_partial, remove_partial, spoil_state, replace_object,
                                   shorten_object])
def test_download_that_cannot_go_on_starts_over(net, place, spoil):
    bucket, tmp = place
    net.acre("cp", "-", f"sj://{bucket}/file", input=content(11))
    target = tmp / "target"
    killed_download(net, f"sj://{bucket}/file", target)
    spoil(net, bucket, target)
    again = net.acre(*DOWN, f"sj://{bucket}/file", target)
    assert "starts from the beginning" in again.errors
    assert target.read_bytes() == net.acre("cat", f"sj://{bucket}/file").out
    assert sorted(p.name for p in tmp.iterdir()) == ["target"]


def test_no_resume_leaves_nothing(net, place):
    bucket, tmp = place
    net.acre("cp", "-", f"sj://{bucket}/file", input=content(13))
    target = tmp / "target"
    killed_download(net, f"sj://{bucket}/file", target)
    again = net.acre("cp", "--no-resume", f"sj://{bucket}/file", target)
    assert not continued_at(again.errors) and target.read_bytes() == content(13)
    assert sorted(p.name for p in tmp.iterdir()) == ["target"]


def test_write_only_grant_continues(net, place):
    """It may not list segments: what the satellite acknowledged counts."""
    bucket, tmp = place
    source = tmp / "source"
    source.write_bytes(content(14))
    grant = net.acre("share", "--writeonly", f"sj://{bucket}/").text
    grant = re.search(r"\b1[1-9A-HJ-NP-Za-km-z]{100,}", grant).group(0)
    shared = dict(net.env, ACRE_ACCESS=grant)
    ready = rewritten(lambda: states(net), 3)
    old, net.env = net.env, shared
    try:
        interrupted(net, [*UP, "--limit-rate", "5MiB", source, f"sj://{bucket}/file"], ready)
        again = net.acre(*UP, source, f"sj://{bucket}/file")
    finally:
        net.env = old
    assert continued_at(again.errors) >= 2 * MIB
    assert net.acre("cat", f"sj://{bucket}/file").out == content(14)


def test_rate_limit(net, place):
    bucket, tmp = place
    data = content(15)[:2 * MIB]
    begin = time.monotonic()
    net.acre("cp", "--limit-rate", "3MiB", "-", f"sj://{bucket}/file", input=data)
    # Eight pieces of a quarter each: 4 MiB; the first step goes at once.
    assert time.monotonic() - begin > 0.9
    begin = time.monotonic()
    assert net.acre("cp", "--limit-rate", "2MiB", f"sj://{bucket}/file", "-").out == data
    assert time.monotonic() - begin > 0.9


def sockets(pid):
    count = 0
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += os.readlink(fd).startswith("socket:")
        except FileNotFoundError:
            pass
    return count


@pytest.mark.parametrize("limit", [3, 6])
def test_connections_are_bounded(net, place, limit):
    """Eight pieces over fewer connections, there and back; on top come those to the satellite (segments
    in flight ask at a time) and the one a segment without any may take."""
    bucket, tmp = place
    source, target = tmp / "source", tmp / "target"
    source.write_bytes(content(16))
    for args, most in ((["--segment-size", "1MiB", source, f"sj://{bucket}/file"], limit),
                       ([f"sj://{bucket}/file", target], max(limit, 4))):
        process = subprocess.Popen([program("acre"), "cp", "--connections", str(limit), *map(str, args)], env=net.env)
        seen = 0
        while process.poll() is None:
            try:
                seen = max(seen, sockets(process.pid))
            except FileNotFoundError:
                pass
        assert process.returncode == 0 and 0 < seen <= most + 3
    assert target.read_bytes() == content(16)


def test_pipe_in_bounded_memory(net, place):
    """What comes through a pipe is never held whole, whatever its length."""
    bucket, _ = place
    block, count = content(17)[:MIB], 144
    process = subprocess.Popen([program("acre"), "cp", "-", f"sj://{bucket}/pipe"], env=net.env,
                               stdin=subprocess.PIPE)
    for _ in range(count):
        process.stdin.write(block)
    # Not what wait4 tells: that begins with this process's own memory, from before exec.
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())[1])
    process.stdin.close()
    assert process.wait(timeout=60 * SLOW) == 0
    assert SLOW > 1 or peak < 80 << 10
    [info] = net.acre("stat", "--output", "json", f"sj://{bucket}/pipe").json()
    assert info["size"] == count * MIB
