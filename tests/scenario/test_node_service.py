"""`acre-node setup --service yes` makes a node a service of systemd: here, of a system below a directory, with
systemd's own tools for that (systemctl --root, systemd-sysusers --root, systemd-analyze verify)."""
import os
import shutil
import subprocess

import pytest

from conftest import program
from test_node_operator import NOWHERE, acre_node

pytestmark = [pytest.mark.skipif(os.getuid() != 0, reason="takes root"),
              pytest.mark.skipif(not shutil.which("systemctl") or not shutil.which("systemd-sysusers"),
                                 reason="takes systemd's tools")]


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "root"
    (root / "etc" / "systemd" / "system").mkdir(parents=True)
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nkeeper:x:4711:4712::/:/bin/sh\n")
    (root / "etc" / "group").write_text("root:x:0:\nkeeper:x:4712:\n")
    return root


def set_up(directory, root, *args, check=True):
    return acre_node("setup", "--dir", directory, "--satellite", NOWHERE, "--difficulty", "8", "--address", "127.0.0.1:0",
                     "--service", "yes", "--root", root, *args, check=check)


def unit_of(directory):
    return "acre-node" + str(directory).replace("/", "-") + ".service"


def test_service(tmp_path, root):
    directory = tmp_path / "disk"
    said = set_up(directory, root).stdout
    unit = root / "etc" / "systemd" / "system" / unit_of(directory)
    text = unit.read_text()
    assert str(unit) in said and "start it with" not in said
    assert f"ExecStart={program('acre-node')} run --dir {directory}\n" in text and "User=acre-node\n" in text
    assert f"ConditionPathExists=|{directory}/config\n" in text
    assert "/var/lib/acre-node" not in text and "StateDirectory" not in text and "NoNewPrivileges=yes" in text
    assert (root / "etc/systemd/system/multi-user.target.wants" / unit.name).is_symlink()
    # It is the new user's, but for the CA, which stays root's.
    user = next(line.split(":") for line in (root / "etc/passwd").read_text().splitlines() if line.startswith("acre-node:"))
    uid = int(user[2])
    assert uid != 0
    for path in (directory, directory / "config", directory / "identity" / "identity.key", directory / "storage",
                 directory / "storage" / "storage-dir-verification"):
        assert path.stat().st_uid == uid, path
    assert (directory / "ca").stat().st_uid == 0
    if shutil.which("systemd-analyze"):
        # As on a system that has the user.
        checked = tmp_path / unit.name
        checked.write_text(text.replace("User=acre-node", "User=root").replace("Group=acre-node", "Group=root"))
        result = subprocess.run(["systemd-analyze", "verify", "--man=no", checked], capture_output=True, text=True, check=False)
        assert "Unknown" not in result.stderr and "not executable" not in result.stderr, result.stderr


def test_a_farm_and_a_user(tmp_path, root):
    """Nodes below one directory share a unit; the user is the operator's choice."""
    farm = tmp_path / "farm"
    for name in ("one", "two"):
        set_up(farm / "nodes" / name, root, "--user", "keeper")
        assert (farm / "nodes" / name / "config").stat().st_uid == 4711
    text = (root / "etc/systemd/system" / unit_of(farm)).read_text()
    assert f"run --dir {farm}\n" in text and "User=keeper\n" in text and "Group=" not in text
    assert len(list((root / "etc/systemd/system").glob("acre-node*"))) == 1
    result = set_up(farm / "nodes" / "three", root, "--user", "nobody-there", check=False)
    assert result.returncode == 1 and 'there is no user "nobody-there"' in result.stderr


def test_links_lead_nowhere(tmp_path, root):
    """What a link among the node's files leads to stays whose it is: setup runs as root."""
    directory, outside = tmp_path / "disk", tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    (directory / "storage").mkdir(parents=True)
    (directory / "storage" / "link").symlink_to(outside)
    (directory / "storage" / "gone").symlink_to(tmp_path / "nowhere")
    set_up(directory, root, "--user", "keeper")
    assert (directory / "storage").stat().st_uid == 4711
    assert (directory / "storage" / "link").lstat().st_uid == 4711
    assert outside.stat().st_uid == 0 and (outside / "file").stat().st_uid == 0


def test_root_sets_up_for_another(tmp_path):
    """What root makes in a directory of another user's, as the package's is, is that user's, but for the CA."""
    directory, disk = tmp_path / "disk", tmp_path / "store"
    directory.mkdir()
    os.chown(directory, 4711, 4712)
    said = acre_node("setup", "--dir", directory, "--storage", disk, "--satellite", NOWHERE, "--difficulty", "8").stdout
    assert "only this machine reaches" in said
    for path in (directory / "config", directory / "identity" / "identity.key", disk, disk / "storage-dir-verification"):
        assert path.stat().st_uid == 4711, path
    assert (directory / "ca").stat().st_uid == 0
    refused = acre_node("setup", "--dir", directory / "nodes" / "two", "--satellite", NOWHERE, "--difficulty", "8", check=False)
    assert refused.returncode == 1 and "is a node itself" in refused.stderr and not (directory / "nodes").exists()
    mine = tmp_path / "mine"
    said = acre_node("setup", "--dir", mine, "--satellite", NOWHERE, "--difficulty", "8", "--address", "0.0.0.0:0").stdout
    assert (mine / "config").stat().st_uid == 0 and "only this machine reaches" not in said


def test_the_package(tmp_path, root):
    """The package's unit is switched on, and another that is there is left alone."""
    packaged = root / "lib" / "systemd" / "system"
    packaged.mkdir(parents=True)
    directory = tmp_path / "disk"
    shutil.copy(os.path.join(os.path.dirname(__file__), "../../packaging/acre-node.service"), packaged / unit_of(directory))
    set_up(directory, root)
    assert not (root / "etc/systemd/system" / unit_of(directory)).exists()
    assert (root / "etc/systemd/system/multi-user.target.wants" / unit_of(directory)).is_symlink()
    other = tmp_path / "other"
    unit = root / "etc/systemd/system" / unit_of(other)
    unit.write_text("# somebody's own\n")
    result = set_up(other, root, check=False)
    assert result.returncode == 1 and "left alone" in result.stderr
    assert unit.read_text() == "# somebody's own\n"


def test_never_without_being_asked(tmp_path, root):
    acre_node("setup", "--dir", tmp_path / "node", "--satellite", NOWHERE, "--difficulty", "8", "--root", root)
    assert not list((root / "etc/systemd/system").iterdir())
    result = acre_node("setup", "--dir", tmp_path / "more", "--satellite", NOWHERE, "--service", "maybe", check=False)
    assert result.returncode == 1 and "want yes or no" in result.stderr
    assert not (tmp_path / "more").exists()
