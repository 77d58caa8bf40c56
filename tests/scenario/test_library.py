"""A foreign C program over libacre.so and the installed headers (library.c)."""
import os
import subprocess

import pytest

from conftest import BIN, ROOT, SLOW, Network


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    network = Network(tmp_path_factory.mktemp("library"), nodes=6, rs="2/3/4/6")
    try:
        yield network.up()
    finally:
        network.down()


def test_library(net, tmp_path):
    lib = next(d for d in (BIN.parent / "lib", ROOT / "dist" / "lib") if (d / "libacre.so").exists())
    headers = lib.parent / "include"
    sanitize = [f"-fsanitize={kind}" for word, kind in (("asan", "address,undefined"), ("tsan", "thread"))
                if word in str(BIN)]
    program = tmp_path / "library"
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-g", *sanitize, f"-I{headers}", ROOT / "tests/scenario/library.c",
                    "-o", program, f"-L{lib}", "-lacre", f"-Wl,-rpath,{lib}"], check=True)
    run = subprocess.run([program], env=dict(net.env, **{k: v for k, v in os.environ.items() if "SAN" in k}),
                         capture_output=True, timeout=120 * SLOW, check=False)
    assert run.returncode == 0 and run.stdout == b"ok\n", (run.stdout + run.stderr).decode()
