"""A plugin under the real unit: root lets it in, it works there, and one that hangs is named."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.binary.systemd_machine import Machine, machine
from tests.binary.test_systemd import DATA, DROP_IN, FILE, UNIT, Node
from tests.plugins.wheels import RUNNER, wheel

pytestmark = pytest.mark.live
HANGS = """
        if launch.command[-1] == "hang":
            import select
            select.select([], [], [])
"""
HANGING = RUNNER.replace('        on_line(b"hello")\n', HANGS)


@pytest.fixture(scope="module")
def box(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine(tmp_path_factory.mktemp("systemd")) as made:
        shutil.copy(binary, made.path(FILE))
        made.run(FILE, "install")
        yield made


def job(node: Node, name: str, word: str) -> str:
    manifest = node.manifest(name, word)
    manifest["nodes"][0]["config"]["runner_module"] = "Acme.Runner"
    node.post("/jobs", {"manifest": manifest, "run_id": name})
    return name


def test_one_that_hangs_under_the_units_watchdog_is_named_and_left_out(box, tmp_path):
    node = Node(box)
    made = wheel(tmp_path, modules={"acme_runner.py": HANGING})
    shutil.copy(made, box.path(f"/tmp/{made.name}"))
    told = box.says("mnedge", "plugin", "install", "--allow", f"/tmp/{made.name}")
    assert "acme-runner 1.0 is installed, and on" in told
    assert "counts from its next start" in told
    owner = box.says("stat", "--format=%U", f"{DATA}/plugins/depot.json")
    assert owner == "mnedge", "what root installs is the node's"

    box.path(DROP_IN).parent.mkdir(exist_ok=True)
    box.path(DROP_IN).write_text("[Service]\nWatchdogSec=4\nRestartSec=0\n")
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "restart", UNIT)
    assert node.ended(job(node, "works", "go")) == "completed"

    node.restarted(lambda: job(node, "hangs", "hang"))
    assert "plugin acme-runner 1.0 is quarantined: it held up the loop" in box.journal()
    shown = box.says("mnedge", "plugin", "show", "acme-runner")
    assert "at stage loop" in shown
    assert "acme_runner.py" in shown
    assert node.ended("hangs") == "failed"
    assert node.get("/health")["status"] == "ok"
    assert "is quarantined" in box.says("mnedge", "doctor", code=None)
    box.run("mnedge", "plugin", "remove", "-y", "acme-runner")
    assert not box.path(f"{DATA}/plugins").exists()
