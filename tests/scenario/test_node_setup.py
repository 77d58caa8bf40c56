"""`acre-node setup` on a terminal asks for what it was not told; elsewhere it says what is missing."""
import os
import pty
import select
import subprocess
import time

from conftest import SLOW, program
from test_node_operator import NOWHERE, acre_node

ANSWERS = [
    ("Which satellites", ["", "nonsense", NOWHERE]),
    ("directory", [""]),
    ("How much space", ["plenty", "3GB"]),
    ("listen", ["127.0.0.1:0"]),
    ("reached from outside", ["node.example:28967"]),
    ("e-mail", ["me@example.org"]),
    ("wallet", [""]),
]


def converse(directory, *args):
    """Answers each question once it is asked; returns what was shown and the exit status."""
    mine, theirs = pty.openpty()
    process = subprocess.Popen([program("acre-node"), "setup", "--dir", str(directory), *args], stdin=theirs, stdout=theirs,
                               stderr=theirs, close_fds=True)
    os.close(theirs)
    shown, answers = "", [(words, answer) for words, list_ in ANSWERS for answer in list_]
    end, asked = time.monotonic() + 60 * SLOW, 0
    while True:
        assert time.monotonic() < end, shown
        try:
            if select.select([mine], [], [], 0.1)[0]:
                shown += os.read(mine, 4096).decode(errors="replace")
        except OSError:
            break
        if answers and shown.count("> ") > asked and shown.endswith("> "):
            words, answer = answers.pop(0)
            assert words in shown[-600:], (words, shown)
            asked = shown.count("> ")
            os.write(mine, (answer + "\n").encode())
    os.close(mine)
    return shown, process.wait(timeout=60)


def test_asks(tmp_path):
    shown, status = converse(tmp_path / "node", "--difficulty", "8")
    assert status == 0, shown
    assert "an answer is needed" in shown and "start it with" in shown
    config = (tmp_path / "node" / "config").read_text()
    for line in (f"satellite = {NOWHERE}", "space = 3", "external-address = node.example:28967", "email = me@example.org",
                 f"storage = {tmp_path}/node/storage"):
        assert line in config, config
    assert (tmp_path / "node" / "storage" / "storage-dir-verification").exists()


def test_asks_nobody(tmp_path):
    """Without a terminal it does not wait for answers."""
    result = acre_node("setup", "--dir", tmp_path / "node", "--difficulty", "8", check=False)
    assert result.returncode == 1 and "which satellite" in result.stderr
