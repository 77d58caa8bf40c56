"""What the macro benchmarks share: a network to measure, and the kernel's books about processes."""

import contextlib
import json
import os
import pathlib
import platform
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    pass


def bin_dir(given):
    return pathlib.Path(given or os.environ.get("ACRE_BIN") or HERE.parent.parent / "dist" / "bin").resolve()


def run(*args, env=None, check=True):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, env=env)
    if check and done.returncode != 0:
        raise Failed(f"{shlex.join(str(a)[:80] for a in args)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def gouplink():
    """Builds the Go program when it is not there or older than its source."""
    source = HERE / "gouplink"
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "acre-bench"
    program = cache / "gouplink"
    newest = max(f.stat().st_mtime for f in source.iterdir())
    if not program.exists() or program.stat().st_mtime < newest:
        cache.mkdir(parents=True, exist_ok=True)
        run("go", "build", "-C", source, "-mod=readonly", "-trimpath", "-o", program, ".")
        os.utime(program)
    return program


class Network:
    """One running satellite and its nodes."""

    def __init__(self, acre, directory):
        self.acre = acre
        self.dir = directory
        self.env = dict(os.environ)

    def dev(self, verb, *args):
        return run(self.acre, "dev", verb, "--dir", self.dir, *args)

    def read_env(self):
        for line in self.dev("env").splitlines():
            words = shlex.split(line)
            if words and words[0] == "export":
                words = words[1:]
            for word in words:
                name, is_assignment, value = word.partition("=")
                if is_assignment:
                    self.env[name] = value
        if not self.env.get("ACRE_ACCESS"):
            raise Failed("acre dev env prints no ACRE_ACCESS")
        self.env.pop("UPLINK_ACCESS", None)

    def pids(self):
        state = self.status()
        return [node["pid"] for node in state["nodes"]], [state["satellite"]["pid"]]

    def status(self):
        """{"satellite": {"pid", "address"}, "nodes": [{"name", "pid", "address"}, ...]}"""
        return json.loads(self.dev("status", "--output", "json"))


class Foreign:
    """A network that runs already and is not ours: a file with its grant and the ids of its processes,
    {"access": "1...", "satellite": [pid, ...], "nodes": [pid, ...]}."""

    def __init__(self, path):
        self.said = json.loads(pathlib.Path(path).read_text())
        self.env = dict(os.environ, ACRE_ACCESS=self.said["access"])
        self.env.pop("UPLINK_ACCESS", None)

    def pids(self):
        return self.said["nodes"], self.said["satellite"]


@contextlib.contextmanager
def network(acre, directory, nodes, rs, foreign=None, database=None):
    """The network of the file `foreign`, else that in a directory: one that runs there is used and left, else one is started and stopped."""
    if not acre.exists():
        raise Failed(f"{acre} is not there; build first, or set ACRE_BIN")
    if foreign:
        yield Foreign(foreign)
        return
    with contextlib.ExitStack() as stack:
        if directory is None:
            directory = tempfile.mkdtemp(prefix="acre-bench-")
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
        net = Network(acre, pathlib.Path(directory).resolve())
        running = False
        with contextlib.suppress(Failed, ValueError, KeyError):
            if os.path.exists(f"/proc/{net.status()['satellite']['pid'] or 'none'}"):
                net.read_env()
                running = True
        if running:
            yield net
            return
        net.dir.mkdir(parents=True, exist_ok=True)
        net.dev("up", "--nodes", nodes, *(("--rs", rs) if rs else ()), *(("--database", database) if database else ()))
        stack.callback(net.dev, "down")
        net.read_env()
        yield net


def cpu_seconds(pids):
    """User and system time that processes have used so far. A process that is named twice counts once."""
    total = 0
    for pid in set(pids):
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
        fields = stat[stat.rindex(")") + 2:].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def children_cpu():
    """User and system time of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def status_sizes(pid, name="status"):
    """The sizes in a file of /proc/PID, bytes."""
    sizes = {}
    for line in pathlib.Path(f"/proc/{pid}/{name}").read_text().splitlines():
        words = line.split()
        if len(words) == 3 and words[2] == "kB":
            sizes.setdefault(words[0].rstrip(":"), int(words[1]) * 1024)
    return sizes


def memory(pid):
    """Resident, of it anonymous, shared-out and peak memory of a process, bytes."""
    sizes = status_sizes(pid, "smaps_rollup") | status_sizes(pid)
    return {"rss": sizes["VmRSS"], "anonymous": sizes["Anonymous"], "pss": sizes["Pss"], "peak": sizes["VmHWM"]}


def reset_peak(pid):
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def listens(address):
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), timeout=1):
        return True
    return False


def stop(pid, wait=20):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + wait
    while time.monotonic() < end:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        stat = pathlib.Path(f"/proc/{pid}/stat")
        try:
            if stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except FileNotFoundError:
            return
        time.sleep(0.02)
    raise Failed(f"process {pid} does not stop")


def start_times(pid, address, runs):
    """Stops a process and starts the same command again, timed until its port takes connections.
    Returns the times and the last process, which is left running."""
    proc = pathlib.Path(f"/proc/{pid}")
    command = proc.joinpath("cmdline").read_bytes().split(b"\0")[:-1]
    environment = dict(e.split(b"=", 1) for e in proc.joinpath("environ").read_bytes().split(b"\0") if b"=" in e)
    directory = os.readlink(proc / "cwd")
    program = os.readlink(proc / "exe")
    times = []
    for _ in range(runs):
        stop(pid)
        while listens(address):
            time.sleep(0.05)
        begin = time.monotonic()
        child = subprocess.Popen(command, executable=program, env=environment, cwd=directory, start_new_session=True,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        pid = child.pid
        while not listens(address):
            if child.poll() is not None:
                raise Failed(f"{program} ended at once when started again")
            if time.monotonic() - begin > 30:
                raise Failed(f"{program} does not listen on {address}")
            time.sleep(0.001)
        times.append(time.monotonic() - begin)
        time.sleep(1)  # a program that has just begun is not stopped
    return times, pid


def stripped_size(path):
    with tempfile.TemporaryDirectory() as scratch:
        copy = pathlib.Path(scratch) / path.name
        shutil.copyfile(path, copy)
        if copy.open("rb").read(4) == b"\x7fELF":
            run("strip", copy)
        return copy.stat().st_size


def machine():
    model = "unknown"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "CPU part")):
            model = line.split(":", 1)[1].strip()
            break
    total = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) * 1024
    return {"cpu": model, "cpus": os.cpu_count(), "memory": total, "kernel": platform.release(),
            "load": os.getloadavg()[0]}


def parse_size(text):
    units = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    number = text.upper().removesuffix("B").removesuffix("I")
    unit = number[-1] if number[-1:] in units else ""
    return int(float(number.removesuffix(unit)) * units[unit])
