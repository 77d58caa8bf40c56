"""Foreign C programs over the installed headers, linked to libacre.so and to libacre.a."""
import os
import subprocess

import pytest

from conftest import BIN, ROOT, SLOW, Network

LIB = next((d for d in (BIN.parent / "lib", ROOT / "dist" / "lib") if (d / "libacre.so").exists()), BIN)
SANITIZE = [f"-fsanitize={kind}" for word, kind in (("asan", "address,undefined"), ("tsan", "thread"))
            if word in str(BIN)]


def pkg_config(*args):
    out = subprocess.run(["pkg-config", *args], check=True, capture_output=True, text=True,
                         env=dict(os.environ, PKG_CONFIG_PATH=str(LIB / "pkgconfig"))).stdout
    return out.split()


def compile_program(source, program, how):
    """As a developer would: with the flags of pkg-config."""
    if how == "static":
        libs = [f"-L{LIB}", "-Wl,-Bstatic", "-lacre", "-Wl,-Bdynamic"]
        libs += [flag for flag in pkg_config("--static", "--libs", "acre") if flag != "-lacre"]
    else:
        libs = pkg_config("--libs", how) + [f"-Wl,-rpath,{LIB}"]
    subprocess.run(["cc", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", *SANITIZE, *pkg_config("--cflags", "acre"),
                    ROOT / "tests" / "scenario" / source, "-o", program, *libs, "-pthread"], check=True)
    return program


def run_program(program, env):
    run = subprocess.run([program], env=dict(env, **{k: v for k, v in os.environ.items() if "SAN" in k}),
                         capture_output=True, timeout=120 * SLOW, check=False)
    assert run.returncode == 0 and run.stdout == b"ok\n", (run.stdout + run.stderr).decode()


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    network = Network(tmp_path_factory.mktemp("library"), nodes=6, rs="2/3/4/6")
    try:
        yield network.up()
    finally:
        network.down()


@pytest.mark.parametrize("how", ["acre", "libuplink", "static"])
def test_library(net, tmp_path, how):
    program = compile_program("library.c", tmp_path / "library", how)
    needed = subprocess.run(["readelf", "-d", program], check=True, capture_output=True, text=True).stdout
    assert ("libacre.so.0" in needed) == (how != "static")
    run_program(program, net.env)


@pytest.mark.parametrize("program", ["library_loop", "library_fork"])
def test_program(net, tmp_path, program):
    if program == "library_fork" and "tsan" in str(BIN):
        pytest.skip("ThreadSanitizer does not follow a fork of many threads")
    run_program(compile_program(program + ".c", tmp_path / program, "acre"), net.env)
