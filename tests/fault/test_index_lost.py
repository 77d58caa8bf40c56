"""A node whose index is damaged on the disk, or gone: it starts again by itself with what the log says, serves every
piece, never says "not found" of one, and its figures are what they were."""
import json
import random
import shutil
import subprocess

import pytest

from conftest import Network, program
from faults import Driver, wait_until

OBJECTS, PARALLEL, SIZE = 6000, 16, 5000  # more entries than the least index-memory holds, so that there is a table


class Node:
    def __init__(self, directory):
        self.net = Network(directory, nodes=1, rs="1/1/1/1")
        self.dir = directory / "net" / "node1"
        self.index = self.dir / "storage" / "index"
        self.net.up()
        self.net.kill("node1")
        with open(self.dir / "config", "a") as config:
            config.write("\nindex-memory = 1MiB\n")
        self.net.start("node1")
        self.net.acre("mb", "sj://lost")
        self.driver = Driver(directory, {})
        self.driver.open(self.net.env["ACRE_ACCESS"])

    def all(self, lines):
        """The answers to many, so many at a time."""
        waiting, answers = 0, []
        for line in lines:
            self.driver.send(line)
            waiting += 1
            if waiting == PARALLEL:
                answers.append(self.driver.answer(90))
                waiting -= 1
        return answers + [self.driver.answer(90) for _ in range(waiting)]

    def get(self, numbers):
        return self.all(f"get {n} lost {n} {SIZE} {n} 0 -1" for n in numbers)

    def status(self):
        done = subprocess.run([program("acre-node"), "status", "--json", "--dir", self.dir], capture_output=True,
                              check=False, timeout=60)
        return json.loads(done.stdout)["nodes"][0] if done.returncode == 0 else {}


@pytest.fixture(scope="module", name="node")
def full_node(tmp_path_factory):
    node = Node(tmp_path_factory.mktemp("lost"))
    try:
        answers = node.all(f"put {n} lost {n} {SIZE} {n} 0 0" for n in range(OBJECTS))
        assert all(a.endswith(" ok") for a in answers), [a for a in answers if not a.endswith(" ok")][:3]
        wait_until("a table", lambda: [f for f in node.index.iterdir() if f.name.startswith("table")], 60)
        yield node
    finally:
        node.driver.kill()
        node.net.down()


def damage(index):
    """A byte of every fourth page of the table, so that the start finds nothing wrong."""
    chosen = random.Random(4)
    for file in index.iterdir():
        if not file.name.startswith("table"):
            continue
        data = bytearray(file.read_bytes())
        for page in range(2, len(data) // 4096 - 1, 4):
            data[page * 4096 + chosen.randrange(4096)] ^= 0x10
        file.write_bytes(data)


@pytest.mark.parametrize("harm", [shutil.rmtree, damage], ids=["gone", "damaged"])
def test_index(node, harm):
    before = node.status()
    assert before["pieces"] == OBJECTS
    node.net.kill("node1")
    harm(node.index)
    node.net.start("node1")

    left, said = set(range(OBJECTS)), []

    def served():
        for answer in node.get(sorted(left)):
            number, result = answer.split()[:2]
            if result == "ok":
                left.discard(int(number))
            else:
                said.append(answer)
        return not left
    wait_until("every piece served", served, 90)
    assert not [s for s in said if "not found" in s.lower()], said[:5]
    if harm is damage:
        assert said and "the index on disk is damaged" in node.net.log("node1")
    wait_until("the figures", lambda: node.status().get("store") == "ready", 60)
    after = node.status()
    for figure in ("pieces", "live", "trash"):
        assert after[figure] == before[figure], (figure, before, after)
    assert after["used"] == after["live"] + after["trash"] + after["dead"]
    assert not [w for w in after["worries"] if "index" in w["what"]]
