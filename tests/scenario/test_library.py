"""Foreign C programs over the installed headers, linked to libacre.so and to libacre.a; and those of
docs/library.md, with the commands it gives."""
import os
import re
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


def run_program(program, env, expect=b"ok\n"):
    run = subprocess.run([program], env=dict(env, **{k: v for k, v in os.environ.items() if "SAN" in k}),
                         capture_output=True, timeout=120 * SLOW, check=False)
    assert run.returncode == 0 and run.stdout == expect, (run.stdout + run.stderr).decode()


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    network = Network(tmp_path_factory.mktemp("library"), nodes=6, rs="2/3/4/6")
    try:
        network.up()
        network.env.update((name, network.values[name]) for name in ("ACRE_SATELLITE", "ACRE_API_KEY"))
        yield network
    finally:
        network.down()


@pytest.mark.parametrize("how", ["acre", "libuplink", "static"])
def test_library(net, tmp_path, how):
    program = compile_program("library.c", tmp_path / "library", how)
    needed = subprocess.run(["readelf", "-d", program], check=True, capture_output=True, text=True).stdout
    assert ("libacre.so.0" in needed) == (how != "static")
    run_program(program, net.env)


@pytest.mark.parametrize("program", ["library_errors", "library_threads", "library_loop", "library_fork"])
def test_program(net, tmp_path, program):
    if program == "library_fork" and SANITIZE:
        pytest.skip("a sanitizer's allocator does not live through a fork of many threads")
    run_program(compile_program(program + ".c", tmp_path / program, "acre"), net.env)


def test_every_call_is_called():
    """By these programs or, of those that only the command line uses so far, by its sources."""
    calls = re.findall(r"(\w+)\(", "".join((ROOT / "tests" / "abi" / f"{kind}_calls.txt").read_text()
                                          for kind in ("uplink_c", "acre")))
    text = "".join(path.read_text() for path in [*(ROOT / "tests" / "scenario").glob("library*.c"),
                                                 *(ROOT / "src" / "cli").glob("*.c")])
    assert len(calls) > 100
    # The four families of iterators are called through a macro, too.
    assert [name for name in calls if not re.search(rf"\b{name}\(", text) and "_iterator" not in name
            and name not in ("acre_loop_progress",)] == []


def test_documentation(net, tmp_path):
    text = (ROOT / "docs" / "library.md").read_text()
    programs = re.findall(r"^```c\n(.*?)^```", text, flags=re.M | re.S)
    commands = re.findall(r"^```sh\n(.*?)^```", text, flags=re.M | re.S)
    assert len(programs) == 2 and len(commands) == 1
    cflags = " ".join(["-Wall", "-Wextra", "-Werror", *SANITIZE, f"-Wl,-rpath,{LIB}"])
    for name, program, output in (("hello", programs[0], b"stored in pieces, read as a whole\n"), ("loop", programs[1], None)):
        (tmp_path / "hello.c").write_text(program)
        subprocess.run(["sh", "-ec", commands[0].replace("cc ", f"cc {cflags} ")], check=True, cwd=tmp_path,
                       env=dict(os.environ, PKG_CONFIG_PATH=str(LIB / "pkgconfig")))
        for how in ("hello", "hello-static"):
            if output:
                run_program(tmp_path / how, net.env, output)
            else:
                out = subprocess.run([tmp_path / how], env=net.env, check=True, capture_output=True, text=True,
                                     timeout=120 * SLOW).stdout
                assert sorted(line for line in out.splitlines() if "stored" in line) == [
                    "one: stored", "three: stored", "two: stored"], out
