"""Moving here from Storj's node: what one wrote (tests/vectors/go_storage.json), its identity and config.yaml as they are."""
import json
import re

import pytest

from conftest import ROOT
from test_node_operator import Farm, acre_node, wait_until

VECTOR = json.loads((ROOT / "tests" / "vectors" / "go_storage.json").read_text())


@pytest.fixture
def theirs(tmp_path):
    """A node's directory with a blob, and a hashstore of which one log is left."""
    home = tmp_path / "storj"
    storage = home / "storage"
    table = VECTOR["table"]
    slots = bytearray(table["size"])
    slots[:20] = bytes.fromhex(table["head"])
    slots[4088:4096] = bytes.fromhex(table["checksum"])
    for number, record in table["slots"].items():
        at = 4096 + 64 * int(number)
        if bytes.fromhex(record)[38] == 2:  # the log that is here
            slots[at : at + 64] = bytes.fromhex(record)
    for path, content in (("storage-dir-verification", bytes.fromhex(VECTOR["node_id"])),
                          (VECTOR["blob"]["path"], bytes.fromhex(VECTOR["blob"]["bytes"])),
                          (VECTOR["log"]["path"], bytes.fromhex(VECTOR["log"]["bytes"])),
                          (table["path"], bytes(slots))):
        (storage / path).parent.mkdir(parents=True, exist_ok=True)
        (storage / path).write_bytes(content)
    (home / "identity.cert").write_text(VECTOR["identity_cert"])
    (home / "identity.key").write_text(VECTOR["identity_key"])
    # Any free port, and others are told the old one.
    config = re.sub(r"(?m)^(server.address: +)\S+$", r"\g<1>127.0.0.1:0", VECTOR["config"])
    (home / "config.yaml").write_text(config + f"storage.path: {storage}\n")
    return home


def files(home):
    return [VECTOR[name]["path"] for name in ("blob", "log") if (home / "storage" / VECTOR[name]["path"]).exists()]


def flags(home):
    return "--config-dir", home, "--identity-dir", home


def counted(result):
    """(taken over, here before), with what expired since the vector was made."""
    words = result.stdout.replace("(", "").split()
    return int(words[0]) + int(words[words.index("out:") + 1]), int(words[words.index("here") - 1])


def test_copy_then_run(theirs):
    refused = acre_node("run", *flags(theirs), check=False)
    assert refused.returncode == 1 and "acre-node import" in refused.stderr
    assert counted(acre_node("import", *flags(theirs))) == (2, 0)
    again = acre_node("import", *flags(theirs))
    assert counted(again)[1] >= 1 and len(files(theirs)) == 2
    farm = Farm(theirs, "--identity-dir", theirs)
    try:
        node = farm.nodes()["node"]
        assert node["state"] == "running" and node["store"] == "ready" and node["pieces"] >= 1
        assert node["storage"].endswith("/storage/acre")
        busy = acre_node("import", *flags(theirs), check=False)
        assert busy.returncode == 1
        # A reload finds nothing new.
        assert "storage" not in farm.ask("reload").stdout
    finally:
        farm.close()


def test_move_while_serving(theirs):
    said = acre_node("import", *flags(theirs), "--move", "--later")
    assert "while it serves" in said.stdout and len(files(theirs)) == 2
    farm = Farm(theirs, "--identity-dir", theirs)
    try:
        wait_until(lambda: farm.nodes()["node"]["store"] == "ready")
        assert farm.nodes()["node"]["pieces"] >= 1 and not files(theirs)
        assert "all pieces of Storj's node are taken over" in farm.log()
    finally:
        farm.close()


def test_not_its_disk(theirs):
    (theirs / "storage" / "storage-dir-verification").write_bytes(bytes(32))
    wrong = acre_node("import", *flags(theirs), check=False)
    assert wrong.returncode == 1 and "another node" in wrong.stderr
    (theirs / "storage" / "storage-dir-verification").unlink()
    gone = acre_node("import", *flags(theirs), "--from", theirs / "storage", check=False)
    assert gone.returncode == 1 and "mounted" in gone.stderr
