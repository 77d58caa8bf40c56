"""uplink-python from PyPI, unchanged, on our library.

Its installer builds uplink-c with Go; here the source package is unpacked instead and our library is
put where its code looks for it.  scripts/test fetches the package (tools/run_tests.py).
"""
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from conftest import BIN, ROOT, SLOW, Network

PACKAGE = next(iter(sorted((ROOT / ".venv" / "sdist").glob("uplink[-_]python-*.tar.gz"))), None)
SANITIZED = "asan" in str(BIN) or "tsan" in str(BIN)

pytestmark = [
    pytest.mark.skipif(not PACKAGE, reason="NO UPLINK-PYTHON HERE: scripts/test fetches it from PyPI"),
    pytest.mark.skipif(SANITIZED, reason="Python itself is not built with the sanitizer"),
]


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    network = Network(tmp_path_factory.mktemp("bindings"), nodes=6, rs="2/3/4/6")
    try:
        yield network.up()
    finally:
        network.down()


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """Directory to be put on PYTHONPATH."""
    directory = tmp_path_factory.mktemp("package")
    with tarfile.open(PACKAGE) as archive:
        archive.extractall(directory)
    top = next(directory.glob("uplink*python-*"))
    library = next(d / "libuplinkc.so" for d in (BIN.parent / "lib", ROOT / "dist" / "lib")
                   if (d / "libuplinkc.so").exists())
    (top / "uplink_python" / "libuplinkc.so").symlink_to(library)
    return top


def python(net, package, *argv):
    run = subprocess.run([sys.executable, *map(str, argv)], capture_output=True, text=True, check=False,
                         timeout=120 * SLOW, env=dict(net.env, PYTHONPATH=str(package), **{
                             name: net.values[name] for name in ("ACRE_SATELLITE", "ACRE_API_KEY", "ACRE_PASSPHRASE")}))
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_hello_storj(net, package, tmp_path):
    """The package's own example, with the places it asks to be changed filled in; run twice, so that
    it also meets a bucket that is not empty."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(300000))
    text = (package / "uplink_python" / "hello_storj.py").read_text()
    for was, now in (("change-me-to-the-api-key-created-in-satellite-gui", net.values["ACRE_API_KEY"]),
                     ("12EayRS2V1kEsWESU9QMRseFhdxYxKicsiFmxrsLZHeLUtdps3S@us-central-1.tardigrade.io:7777",
                      net.values["ACRE_SATELLITE"]),
                     ("(optional): path / (required): filename", "path/file"),
                     ("filename with extension of source file on local system", str(source)),
                     ("filename with extension to save on local system", str(target))):
        assert was in text
        text = text.replace(was, now)
    (package / "uplink_python" / "hello_filled.py").write_text(text)
    for times in range(2):
        out = python(net, package, "-m", "uplink_python.hello_filled")
        assert "Exception Caught" not in out, out
        assert out.count("SUCCESS!") == 1 and out.count("OPENED!") == 2 and "Desired object: DELETED" in out
        assert ("Desired bucket delete error" in out) == (times == 0), out
        assert target.read_bytes() == source.read_bytes()


def test_every_method(net, package):
    """What the package's tests cover (they are not in it): every class and method, errors included."""
    assert python(net, package, Path(__file__).with_name("bindings.py")) == "ok\n"
