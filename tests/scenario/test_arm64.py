"""A transfer with nodes built for arm64, run by qemu-user: `scripts/test --full`, suite arm64.

Satellite and client are this machine's; the nodes' disks are written and read by the other architecture's program.
"""
import os
import random
import shutil
import stat
from pathlib import Path

import pytest

from conftest import BIN, ROOT, Network

if "ACRE_ARM64" not in os.environ:
    pytest.skip("A SUITE OF ITS OWN: scripts/test --only arm64", allow_module_level=True)


@pytest.fixture
def net(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("acre", "acre-satellite"):
        shutil.copy(BIN / name, programs / name)
    node = Path(os.environ["ACRE_ARM64"]) / "src" / "node" / "acre-node"
    wrapper = programs / "acre-node"
    # qemu-user has neither seccomp nor Landlock to offer, and setup cannot give root's files away under it.
    wrapper.write_text(f"""#!/bin/sh
command=$1; shift
[ "$command" != setup ] || exec '{BIN / "acre-node"}' setup "$@"
[ "$command" != run ] || set -- --sandbox=false "$@"
exec qemu-aarch64-static -L '{ROOT}/build-deb-arm64-root' '{node}' "$command" "$@"
""")
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    network = Network(tmp_path, nodes=4, rs="2/2/3/4", bin=programs)
    try:
        yield network.up()
    finally:
        network.down()


def test_transfer(net, tmp_path):
    data = random.Random(3).randbytes(3_000_000)
    (tmp_path / "file").write_bytes(data)
    net.acre("mb", "sj://other")
    net.acre("cp", tmp_path / "file", "sj://other/file", timeout=300)
    assert net.acre("cat", "sj://other/file", timeout=300).out == data
    net.kill("node1")
    net.start("node1")
    assert net.acre("cat", "sj://other/file", timeout=300).out == data
