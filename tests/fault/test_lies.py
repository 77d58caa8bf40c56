"""Peers that lie cost bounded memory: nodes and satellites that send what nobody asked for cost a
renter no more than the largest answers it may get, and renters that begin what they never end cost a
node or satellite no more than its buffers for as many connections.

Each figure is the peak of the process (VmHWM) above what honest work took; the bounds are the sums of
the limits in rpc.h, net.h and zstd.h.
"""
import os
import re
import subprocess

import pytest

from conftest import SLOW
from faults import PROGRAMS, Faults, clear_error, wait_until

MIB = 1 << 10  # in KiB, as the kernel counts
PACKET = 4 * MIB  # RPC_PACKET_MAX
INBOX = 1 * MIB  # RPC_INBOX_MAX
BUFFERS = 1 * MIB  # TLS, records, a stack, what a worker takes
JOINING = 2 * PACKET + INBOX + BUFFERS  # a largest message; buffers grow by doubling
DECODED = 64 * MIB  # ZSTD_DECODED_MAX
SLACK = 6 * MIB
KEPT = 32 * MIB  # MALLOC_KEEP_BYTES of posix/process.c for each of glibc's arenas on 2 cores, twice
SANITIZED = pytest.mark.skipif(SLOW > 1, reason="SANITIZERS TAKE MEMORY OF THEIR OWN: not measured")


@pytest.fixture(scope="module")
def faults(tmp_path_factory):
    f = Faults(tmp_path_factory.mktemp("lies"), 12, 1)
    try:
        f.up()
        f.driver.open(f.grant)
        assert f.driver.ask("put t faults big 3000000 7") == "t ok"
        assert f.driver.ask("put t faults small 3000 8") == "t ok"
        yield f
    finally:
        f.down()


def memory(pid, what):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(rf"^{what}:\s*(\d+)", status.read(), re.M)[1])


def forget_peak(pid):
    with open(f"/proc/{pid}/clear_refs", "w") as f:
        f.write("5")


def peak_of(driver, *commands):
    """The driver's peak in KiB over these transfers, and their answers."""
    driver.stats()
    forget_peak(driver.process.pid)
    answers = [driver.ask(c) for c in commands]
    return memory(driver.process.pid, "VmHWM"), answers


GET = "get t faults big 3000000 7 0 -1"


@SANITIZED
@pytest.mark.parametrize("lie", ["flood", "bulk", "empty", "text", "garbage", "overrun", "wrong"])
def test_nodes_lie_to_renter(faults, lie):
    """All nodes lie: the bytes are right or there are none, and it took no more than one largest
    message for each of the ten pieces that can be under way."""
    faults.driver.open(faults.grant)
    honest, answers = peak_of(faults.driver, GET, GET)
    assert answers == ["t ok", "t ok"]
    faults.plan(faults.names, f"down.{lie} 100")
    try:
        lied, answers = peak_of(faults.driver, GET, GET, GET)
    finally:
        faults.heal()
    print(f"down.{lie}: honest {honest} KiB, lied to {lied} KiB: {answers[0][:120]}")
    for answer in answers:
        if answer != "t ok":  # empty messages, the same bytes twice, single wrong bytes can be lived with
            assert answer.startswith("t error"), answer
            clear_error(answer.removeprefix("t error "))
    assert lied <= honest + 10 * JOINING + SLACK
    assert faults.driver.ask(GET) == "t ok"


@SANITIZED
@pytest.mark.parametrize("lie", ["bomb", "wide", "long", "garbage"])
def test_satellite_lies_to_renter(faults, lie):
    faults.driver.open(faults.grant)
    question = "get t faults small 3000 8 0 -1"
    honest, answers = peak_of(faults.driver, question)
    assert answers == ["t ok"]
    faults.plan(["satellite"], f"answer.{lie} 100")
    try:
        lied, answers = peak_of(faults.driver, question, question)
    finally:
        faults.heal()
    print(f"answer.{lie}: honest {honest} KiB, lied to {lied} KiB: {answers[0][:120]}")
    for answer in answers:
        assert answer.startswith("t error"), answer
        clear_error(answer.removeprefix("t error "))
    assert lied <= honest + DECODED + 2 * PACKET + SLACK
    assert faults.driver.ask(question) == "t ok"


# What a connection may hold, by mode.
COST = {"knock": BUFFERS // 4, "idle": BUFFERS // 4, "unfinished": JOINING, "pile": 2 * INBOX + BUFFERS,
        "invoke": BUFFERS}


@SANITIZED
@pytest.mark.parametrize("mode", COST)
@pytest.mark.parametrize("peer, method", [("node1", "/piecestore.Piecestore/Upload"),
                                          ("satellite", "/metainfo.Metainfo/BeginObject")])
def test_renters_lie(faults, peer, method, mode):
    connections = 40
    pid = faults.net.pid(peer)
    fds = len(list_fds(pid))
    before = memory(pid, "VmRSS")
    forget_peak(pid)
    liar = subprocess.Popen([PROGRAMS / "liar", faults.links[peer].to, str(connections), method, mode],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        said = liar.stdout.readline().split()
        assert said and said[0] == "ready", said
        # Others are served meanwhile.
        assert faults.driver.ask(GET) == "t ok"
        peak = memory(pid, "VmHWM")
    finally:
        liar.stdin.close()
        liar.wait(timeout=60)
    print(f"{peer} {mode}: {said[1]} connections kept, {before} KiB, at most {peak} KiB")
    assert peak <= before + connections * COST[mode] + SLACK
    faults.driver.ask("close")
    wait_until("the connections are gone", lambda: len(list_fds(pid)) <= fds + 4)
    # And the memory is given back, all but what the allocator keeps for each thread's next need.
    wait_until("the memory is given back", lambda: memory(pid, "VmRSS") <= before + KEPT)
    faults.driver.open(faults.grant)


def list_fds(pid):
    return os.listdir(f"/proc/{pid}/fd")
