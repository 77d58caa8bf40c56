"""Limits of a node in bytes a second, with a real process: back-pressure on both ways, and reload."""
import time

import pytest

from conftest import Network
from test_node_operator import acre_node

RATE, SIZE = 1_000_000, 3_000_000
# What may pass at once: kernel buffers of both ends, and the first turn, which need not wait.
AHEAD = 0.6 * SIZE / RATE


@pytest.fixture
def one_node(tmp_path):
    net = Network(tmp_path, nodes=1, rs="1/1/1/1")
    try:
        yield net.up()
    finally:
        net.down()


def limit(net, **rates):
    directory = next((net.dir / "net").glob("node*"))
    config = directory / "config"
    lines = [line for line in config.read_text().splitlines() if not line.startswith(tuple(rates))]
    config.write_text("\n".join(lines + [f"{name} = {value}" for name, value in rates.items()]) + "\n")
    acre_node("reload", "--dir", directory)


def timed(net, *args):
    begun = time.monotonic()
    net.acre(*args)
    return time.monotonic() - begun


def test_limits_and_reload(one_node, tmp_path):
    net, source, target = one_node, tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(i * 7 & 0xFF for i in range(1000)) * (SIZE // 1000))
    net.acre("mb", "sj://bucket")
    limit(net, **{"receive-rate": "0, 0-0=1MB"})  # "0-0" is the whole day
    assert timed(net, "cp", source, "sj://bucket/in") > SIZE / RATE - AHEAD
    limit(net, **{"receive-rate": "0", "send-rate": "1MB"})
    free = timed(net, "cp", source, "sj://bucket/out")
    assert timed(net, "cp", "sj://bucket/out", target) > SIZE / RATE - AHEAD
    assert target.read_bytes() == source.read_bytes()
    limit(net, **{"send-rate": "0"})
    assert timed(net, "cp", "sj://bucket/in", target) < SIZE / RATE or free > SIZE / RATE, "the limit was not lifted"
    directory = next((net.dir / "net").glob("node*"))
    (directory / "config").open("a").write("send-rate = fast\n")
    assert "send-rate" in acre_node("reload", "--dir", directory, check=False).stderr
