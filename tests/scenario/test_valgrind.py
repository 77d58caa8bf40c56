"""The command line's main commands leak nothing and touch nothing they should not (valgrind).

Long, and nothing for programs with a sanitizer: the suite "valgrind" of a full run has it (ACRE_VALGRIND=1).
"""
import os
import shutil
import subprocess

import pytest

from conftest import Network, program

pytestmark = pytest.mark.skipif(not os.environ.get("ACRE_VALGRIND"), reason="a suite of its own (scripts/test --full)")


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    network = Network(tmp_path_factory.mktemp("valgrind"), nodes=4, rs="2/2/3/4")
    try:
        yield network.up()
    finally:
        network.down()


def valgrind(net, tmp_path, *args, code=0, stdin=b""):
    assert shutil.which("valgrind"), "valgrind is missing: scripts/packages test installs it"
    log = tmp_path / "valgrind.log"
    process = subprocess.run(
        ["valgrind", "--leak-check=full", "--show-leak-kinds=definite,indirect,possible", "--error-exitcode=88",
         "--errors-for-leak-kinds=definite,indirect,possible", f"--log-file={log}", program("acre"), *map(str, args)],
        env=net.env, input=stdin, capture_output=True, timeout=600)
    assert process.returncode == code, f"{args}: {process.returncode}\n{process.stderr.decode()}\n{log.read_text()}"
    return process.stdout


def test_main_commands(net, tmp_path):
    data = os.urandom(300_000)
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(data)
    valgrind(net, tmp_path, "mb", "sj://bucket")
    valgrind(net, tmp_path, "cp", "--segment-size", "100KiB", source, "sj://bucket/file")
    valgrind(net, tmp_path, "cp", "sj://bucket/file", back)
    assert back.read_bytes() == data
    assert valgrind(net, tmp_path, "cat", "--range", "bytes=100000-200000", "sj://bucket/file") == data[100000:200001]
    valgrind(net, tmp_path, "cp", "-", "sj://bucket/inline", stdin=b"x")
    valgrind(net, tmp_path, "cp", "sj://bucket/file", "sj://bucket/copy")
    valgrind(net, tmp_path, "mv", "sj://bucket/copy", "sj://bucket/moved")
    assert b"moved" in valgrind(net, tmp_path, "ls", "-r", "sj://bucket")
    valgrind(net, tmp_path, "ls")
    valgrind(net, tmp_path, "stat", "sj://bucket/file")
    valgrind(net, tmp_path, "share", "--not-after", "+1h", "sj://bucket/")
    valgrind(net, tmp_path, "access", "inspect")
    valgrind(net, tmp_path, "rm", "-r", "sj://bucket/")
    valgrind(net, tmp_path, "rb", "sj://bucket")


def test_failures(net, tmp_path):
    valgrind(net, tmp_path, "ls", "sj://not-there", code=3)
    valgrind(net, tmp_path, "cat", "sj://not-there/x", code=3)
    valgrind(net, tmp_path, "ls", "--access", "1" * 200, code=1)
    valgrind(net, tmp_path, "cp", code=2)
