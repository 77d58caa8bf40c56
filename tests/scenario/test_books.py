"""Orders become pay, garbage leaves the nodes, nodes leave: with real processes, on both databases."""
import json
import sqlite3
import subprocess
import time

import pytest

from conftest import SLOW, Network, program

NODES = 5


def run(name, *args, check=True):
    process = subprocess.run([program(name), *map(str, args)], capture_output=True, text=True, check=False,
                             timeout=60 * SLOW)
    if check:
        assert process.returncode == 0, f"{args}: {process.returncode}\n{process.stderr}"
    return process.stdout if check else process


def wait_until(condition, what, seconds=40):
    end = time.monotonic() + seconds * SLOW
    while not condition():
        assert time.monotonic() < end, f"timed out: {what}"
        time.sleep(0.1)


def configure(directory, **settings):
    """Lines at the end of a config overrule those before."""
    path = directory / "config"
    lines = path.read_text().splitlines()
    for name, value in settings.items():
        name = name.replace("_", "-")
        lines = [line for line in lines if not line.replace(" ", "").startswith(name + "=")]
        lines.append(f"{name} = {value}")
    path.write_text("\n".join(lines) + "\n")


class Books(Network):
    def satellite(self, *args):
        return run("acre-satellite", *args, "--dir", self.dir / "net" / "satellite")

    def names(self):
        return [f"node{i + 1}" for i in range(self.nodes)]

    def node_status(self, name):
        return json.loads(run("acre-node", "status", "--json", "--dir", self.dir / "net" / name))

    def files(self, name, where, what):
        path = self.dir / "net" / name / "storage" / "orders" / where
        return [p.name for p in path.glob("*") if what in p.name] if path.exists() else []

    def sql(self, statement):
        if self.database:
            return subprocess.run(["psql", self.database, "-tAqc", statement], check=True, capture_output=True,
                                  text=True).stdout.strip()
        with sqlite3.connect(self.dir / "net" / "satellite" / "satellite.db", timeout=20) as db:
            row = db.execute(statement).fetchone()
        return "" if row is None else str(row[0])

    def chore(self, name):
        """Asks for a run and waits until one that began later has ended."""
        self.sql(f"UPDATE chores SET requests = requests + 1 WHERE name = '{name}'")
        self.wait_chore(name, int(self.sql(f"SELECT requests FROM chores WHERE name = '{name}'")))
        assert self.sql(f"SELECT error FROM chores WHERE name = '{name}'") == ""

    def wait_chore(self, name, request):
        query = f"SELECT COUNT(*) FROM chores WHERE name = '{name}' AND served >= {request} AND ended_at >= started_at"
        wait_until(lambda: self.sql(query) == "1", name)


@pytest.fixture(params=["sqlite", "postgres"])
def books(request, tmp_path):
    database = request.getfixturevalue("postgres").database() if request.param == "postgres" else None
    network = Books(tmp_path, nodes=NODES, rs="2/2/3/4", database=database)
    network.database = database
    network.up()
    network.kill("satellite", *network.names())
    configure(tmp_path / "net" / "satellite", gc_interval="0s", gc_margin="0s", exit_duration="1s",
              segment_loop_interval="0s")
    for name in network.names():
        configure(tmp_path / "net" / name, retain_skew="0s")
    network.start("satellite", *network.names())
    network.acre("mb", "sj://books")
    yield network
    network.down()


def put(books, name, size):
    path = books.dir / name
    path.write_bytes(bytes((i * 7 + len(name)) % 251 for i in range(size)))
    books.acre("cp", path, f"sj://books/{name}")


def get(books, name):
    books.acre("cp", f"sj://books/{name}", books.dir / "back")
    assert (books.dir / "back").read_bytes() == (books.dir / name).read_bytes()


def next_second():
    """Nodes compare times in whole seconds."""
    now = int(time.time())
    while int(time.time()) < now + 2:
        time.sleep(0.05)


def test_orders_survive_a_kill_and_are_paid_once(books):
    for i in range(3):
        put(books, f"object{i}", 200000)
        get(books, f"object{i}")
    books.kill(*books.names())
    paid = [n for n in books.names() if books.files(n, "", ".orders")]
    assert len(paid) >= 3
    for name in books.names():
        configure(books.dir / "net" / name, settle_early="3h")
    books.start(*books.names())
    for name in paid:
        wait_until(lambda: books.files(name, "archive", "ACCEPTED") and not books.files(name, "", ".orders"),
                   f"{name} settles")
    up = int(books.sql("SELECT SUM(settled) FROM storagenode_bandwidth_rollups WHERE action = 1"))
    down = int(books.sql("SELECT SUM(settled) FROM storagenode_bandwidth_rollups WHERE action = 2"))
    assert up >= 3 * 200000 and down >= 3 * 200000
    assert up == int(books.sql("SELECT SUM(settled) FROM bucket_bandwidth_rollups WHERE action = 1"))
    # A second window of the same hour is not paid.
    hours = int(books.sql("SELECT COUNT(*) FROM storagenode_bandwidth_rollups"))
    put(books, "late", 200000)
    wait_until(lambda: any(books.files(n, "archive", "REJECTED") for n in books.names()) or time.gmtime().tm_min < 2,
               "a late window is refused")
    if time.gmtime().tm_min > 2:
        assert int(books.sql("SELECT COUNT(*) FROM storagenode_bandwidth_rollups")) <= hours + NODES
    report = json.loads(books.satellite("report", "--json"))
    assert report[0]["bucket"] == "books" and report[0]["egress"] == down
    assert books.satellite("report", "--csv").startswith("month,project,bucket,byte_hours")
    by_key = json.loads(books.satellite("report", "--key", "--json"))
    assert sum(r["egress"] for r in by_key) == down and sum(r["ingress"] for r in by_key) == report[0]["ingress"]
    assert books.satellite("report", "--key", "--csv").startswith("month,project,apikey,byte_hours,egress,ingress\n")
    used = json.loads(books.satellite("usage", "--key", "--json"))
    assert sum(u["egress"] for u in used) == down and all(u["stored"] is None for u in used)
    assert books.satellite("statement", "make").startswith("0 statements")
    books.satellite("check")


def test_garbage_leaves_and_nothing_else(books):
    for i in range(4):
        put(books, f"old{i}", 300000)
    next_second()
    for i in range(4):
        put(books, f"kept{i}", 300000)
    # Its pieces are those of the original, which goes.
    books.acre("cp", "sj://books/old0", "sj://books/copy")
    books.chore("segment-loop")
    assert int(books.sql("SELECT SUM(pieces) FROM node_tallies")) >= 9 * 3
    for i in range(4):
        books.acre("rm", f"sj://books/old{i}")
    before = sum(books.node_status(n)["nodes"][0]["trash"] for n in books.names())
    assert before == 0
    books.chore("segment-loop")
    books.chore("gc")
    wait_until(lambda: sum(books.node_status(n)["nodes"][0]["trash"] for n in books.names()) > 3 * 100000,
               "garbage in the trash")
    for i in range(4):
        get(books, f"kept{i}")
    books.acre("cp", "sj://books/copy", books.dir / "back")
    assert (books.dir / "back").read_bytes() == (books.dir / "old0").read_bytes()
    # What is in use was never touched: no node took anything back out of its trash.
    trash = sum(books.node_status(n)["nodes"][0]["trash"] for n in books.names())
    assert trash > 3 * 100000
    books.satellite("check")


def test_a_node_leaves_and_frees_what_it_had(books):
    for i in range(3):
        put(books, f"object{i}", 300000)
    directory = books.dir / "net" / "node1"
    satellite = books.satellite("url").split("@")[0]
    run("acre-node", "exit", satellite, "--dir", directory)
    again = run("acre-node", "exit", satellite, "--dir", directory, check=False)
    assert again.returncode != 0 and "asked for already" in again.stderr
    wait_until(lambda: "completed" in run("acre-node", "exit", "--dir", directory), "the exit completes")
    assert (directory / "leave" / f"{satellite}.receipt").stat().st_size > 100
    wait_until(lambda: books.node_status("node1")["nodes"][0]["pieces"] == 0, "its data is freed")
    assert int(books.sql("SELECT COUNT(*) FROM nodes WHERE exit_success = 1")) == 1
    # The others have enough, and it gets nothing new.
    put(books, "after", 300000)
    for name in ("object0", "object1", "object2", "after"):
        get(books, name)
    assert books.node_status("node1")["nodes"][0]["pieces"] == 0
    refused = run("acre-node", "forget", satellite, "--dir", books.dir / "net" / "node2")
    assert "frees everything" in refused
    wait_until(lambda: "refused" in run("acre-node", "exit", "--dir", books.dir / "net" / "node2"),
               "a satellite in use is not forgotten")
    get(books, "object1")
