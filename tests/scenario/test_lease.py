"""Two satellites on one PostgreSQL, and the one that leads is frozen in the middle of its work, for longer than
its lease.  The other takes over; what the first does when it wakes changes nothing.

The lease is made to be over; with ACRE_FULL=1 its minute passes.
"""
import contextlib
import os
import signal
import subprocess
import time

import pytest

from conftest import SLOW, Network, Second, program
from test_books import configure, wait_until

FULL = bool(os.environ.get("ACRE_FULL"))
LEASE_SECONDS = 60
CHORES = "('segment-loop', 'gc')"
# All that these two write down.
WRITTEN = f"""SELECT 'tally', SUM(pieces), SUM(bytes) FROM node_tallies UNION ALL
SELECT 'time', MAX(at), COUNT(*) FROM tally_times UNION ALL
SELECT 'kept', SUM(byte_hours), COUNT(*) FROM node_storage UNION ALL
SELECT 'filters', SUM(sent_at / 1000000), SUM(pieces) FROM node_filters UNION ALL
SELECT name, runs + 1000 * failures, ended_at FROM chores WHERE name IN {CHORES} ORDER BY 1"""


class Shared(Network):
    def psql(self, *args, **kwargs):
        return subprocess.run(["psql", self.database, "-tAqc", *args], check=True, capture_output=True, text=True,
                              timeout=60 * SLOW, **kwargs).stdout.strip()

    def ask(self):
        self.psql(f"UPDATE chores SET requests = requests + 1 WHERE name IN {CHORES}")

    def served(self):
        return self.psql(f"SELECT COUNT(*) FROM chores WHERE name IN {CHORES} AND served = requests AND holder IS NULL "
                         "AND error = ''") == "2"

    def held(self):
        return self.psql(f"SELECT COUNT(*) FROM chores WHERE name IN {CHORES} AND holder IS NOT NULL") == "2"


@pytest.fixture
def shared(postgres, tmp_path):
    net = Shared(tmp_path, nodes=5, rs="2/2/3/4", database=postgres.database())
    net.database = net.up_args[-1]
    net.up()
    net.kill("satellite")
    # Passes are asked for, and a satellite that sleeps takes no node for dead.
    configure(tmp_path / "net" / "satellite", gc_interval="0s", segment_loop_interval="0s", silence_window="0s",
              audit_interval="24h")
    net.start("satellite")
    yield net
    net.down()


@contextlib.contextmanager
def segments_locked(net):
    """Nobody reads the table meanwhile: a pass waits for its first segments."""
    session = subprocess.Popen(["psql", net.database, "-tAq"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        print("BEGIN; LOCK TABLE segments IN ACCESS EXCLUSIVE MODE; SELECT 'locked';", file=session.stdin, flush=True)
        assert session.stdout.readline().strip() == "locked"
        yield
    finally:
        session.communicate()  # the end of its input ends it, and its transaction
        assert session.returncode == 0


def put(net, name):
    path = net.dir / name
    path.write_bytes(os.urandom(3_000_000))
    net.acre("cp", path, f"sj://lease/{name}")


def ends(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_frozen_leader_changes_nothing_when_it_wakes(shared):
    net, second = shared, None
    net.acre("mb", "sj://lease")
    for name in ("stays", "goes"):
        put(net, name)
    net.ask()
    wait_until(net.served, "the first passes")
    leader = net.pid("satellite")
    try:
        with segments_locked(net):
            net.ask()
            wait_until(net.held, "it is in the middle of both")
            os.kill(leader, signal.SIGSTOP)
        frozen = time.monotonic()
        second = Second(net)
        grant = second.grant(net)
        # Its database answered meanwhile: it will wake with both objects.
        net.acre("rm", "sj://lease/goes", env={"ACRE_ACCESS": grant})
        assert net.held()
        if not FULL:
            net.psql(f"UPDATE chores SET lease_until = 1 WHERE name IN {CHORES}")
        wait_until(net.served, "the second takes over", LEASE_SECONDS + 40)
        assert not FULL or time.monotonic() - frozen > LEASE_SECONDS - 15
        written = net.psql(WRITTEN)
        os.kill(leader, signal.SIGCONT)
        for chore in ("segment-loop", "gc"):
            wait_until(lambda: any("its lease is lost" in line and f"chore={chore}" in line
                                   for line in net.log("satellite").splitlines()), f"{chore} is given up")
        # Orderly, with all that it had begun.
        os.kill(leader, signal.SIGTERM)
        wait_until(lambda: ends(leader), "the first ends")
        assert net.psql(WRITTEN) == written
        net.ask()
        wait_until(net.served, "the second goes on")
        assert net.psql(WRITTEN) != written
        net.acre("cp", "sj://lease/stays", net.dir / "back", env={"ACRE_ACCESS": grant})
        assert (net.dir / "back").read_bytes() == (net.dir / "stays").read_bytes()
    finally:
        if not ends(leader):
            os.kill(leader, signal.SIGCONT)
        assert second is None or second.close() == 0
    done = subprocess.run([program("acre-satellite"), "check", "--dir", net.dir / "net" / "satellite"],
                          capture_output=True, text=True, timeout=60 * SLOW, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
