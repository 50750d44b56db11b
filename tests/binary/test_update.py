"""`mnedge update` of the one file, on a machine under a real systemd.

One boot, in the order of a node's life: later tests find the release that earlier ones left.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mnedge.updates.envelope import SUFFIX, new_key
from tests.binary import builds
from tests.binary.systemd_machine import Machine, machine

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.geteuid() != 0, reason="root alone boots a machine"),
]

PEM, LINE = new_key()
DATA, SRV = "/var/lib/mnedge", "/srv"
HELD = "touch $MN_RUN_DIR/began; while [ ! -e $MN_RUN_DIR/go ]; do sleep 0.05; done"
FAULT_ONCE = """
[Service]
ExecStartPre=sh -c 'test -e /run/fault.once && mv /run/fault.once /run/fault || rm -f /run/fault'
EnvironmentFile=-/run/fault
"""
SETTINGS = f"""
updates:
  keys: ["{LINE}"]
  healthTimeout: 8s
  settle: 1s
daemon:
  grace: 500ms
"""


class Node:
    """The node on that machine, as its administrator updates it."""

    def __init__(self, box: Machine, binary: Path) -> None:
        self.box = box
        self.binary = binary
        self.old_pid = 0

    def health(self) -> Any:
        """Return what the daemon says of itself; None if it does not answer."""
        try:
            with self._client() as client:
                return client.get("/api/v1/health").json()
        except (httpx.HTTPError, ValueError):
            return None

    def version(self) -> str:
        """Return the version that answers, if it is well."""
        told = self.health() or {}
        return str(told.get("version")) if told.get("status") == "ok" else ""

    def begin(self, run_id: str) -> None:
        """Have a worker that runs until it is let go."""
        worker = {
            "node_id": "w",
            "agent_type": "executor",
            "config": {
                "runner_module": "MirrorNeuron.Runner.HostLocal",
                "command": ["bash", "-c", HELD],
                "output_message_type": "done",
            },
        }
        sink = {"node_id": "s", "agent_type": "aggregator", "config": {"complete_on_message": True}}
        manifest = {
            "manifest_version": "1.0",
            "graph_id": run_id,
            "job_name": run_id,
            "nodes": [worker, sink],
            "edges": [{"edge_id": "e", "from_node": "w", "to_node": "s", "message_type": "done"}],
            "entrypoints": ["w"],
        }
        with self._client() as client:
            answer = client.post("/api/v1/jobs", json={"manifest": manifest, "run_id": run_id})
        assert answer.is_success, answer.text
        self.box.until(lambda: self._run(run_id, "began").exists())

    def let_go(self, run_id: str) -> None:
        """Let the worker end, whichever program runs it; see the job complete."""
        self._run(run_id, "go").touch()
        self.box.until(lambda: self.status(run_id) == "completed")

    def status(self, run_id: str) -> str:
        try:
            with self._client() as client:
                return str(client.get(f"/api/v1/jobs/{run_id}").json()["job"]["status"])
        except (httpx.HTTPError, ValueError, KeyError):
            return ""

    def _run(self, run_id: str, name: str) -> Path:
        return self.box.path(f"{DATA}/runs/{run_id}/{name}")

    def _client(self) -> httpx.Client:
        socket = str(self.box.path(f"{DATA}/mnedge.sock"))
        return httpx.Client(transport=httpx.HTTPTransport(uds=socket), base_url="http://node")

    def bad(self, does: str, version: str = "0.9.0", pem: bytes = PEM, **more: Any) -> str:
        """Have a bad build on the machine, signed; return its path there."""
        target = self.box.path(f"{SRV}/bad-{does.replace(' ', '-')}")
        old = self.box.says("readlink", f"/proc/{self.pid}/exe")
        builds.bad(self.binary, target, version, does, old=old, **more)
        builds.signed(target, pem, self.binary, version)
        return f"{SRV}/{target.name}"

    @property
    def pid(self) -> int:
        return int(self.box.property("mnedge.service", "MainPID"))

    def update(self, *words: str, code: int = 0) -> Any:
        """Update; return what a program is told."""
        done = self.box.run("mnedge", "update", *words, "--json", code=code)
        return json.loads(done.stdout or done.stderr)

    @property
    def releases(self) -> list[str]:
        folder = self.box.path("/opt/mnedge/releases")
        return sorted(path.name.partition("-")[0] for path in folder.iterdir())

    def fault_once(self, fault: str) -> None:
        """Let the next process that carries an update meet this, and none after it."""
        unit = self.box.path("/run/systemd/system/mnedge-update.service.d")
        unit.mkdir(parents=True, exist_ok=True)
        (unit / "fault.conf").write_text(FAULT_ONCE)
        self.box.path("/run/fault.once").write_text(f"MNEDGE_FAULT={fault}\n")
        self.box.path("/run/fault").unlink(missing_ok=True)
        self.box.run("systemctl", "daemon-reload")

    @property
    def current(self) -> str:
        return self.box.path("/opt/mnedge/current").readlink().name

    def came_to(self, point: str, old: str) -> bool:
        """Tell whether an update away from that release has come to that place."""
        trial = self.box.path("/opt/mnedge/trial.json")
        if not trial.exists() or not self.box.path(f"{DATA}/trial.json").exists():
            return False
        if point == "marked":
            return True
        phase = json.loads(trial.read_text())["phase"]
        if point == "returned":
            return phase == "returning" and self.current == old
        if point == "started":
            state = self.box.property("mnedge.service", "ActiveState")
            return phase == "trying" and (state == "failed" or self.pid not in (0, self.old_pid))
        return phase == "trying" and self.current != old

    def nothing_is_left(self) -> bool:
        """Tell whether there is no trace of a trial."""
        places = ("/opt/mnedge/trial.json", f"{DATA}/trial.json", "/opt/mnedge/go-back")
        return not any(self.box.path(place).exists() for place in places)


@pytest.fixture(scope="module")
def node(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """An installed node, and a newer build beside it."""
    with machine(tmp_path_factory.mktemp("update")) as box:
        shutil.copy(binary, box.path(f"{SRV}/mnedge"))
        box.run(f"{SRV}/mnedge", "install")
        with box.path("/etc/mnedge/config.yaml").open("a") as file:
            file.write(SETTINGS)
        made = builds.newer(binary, box.path(f"{SRV}/newer"), "0.8.0")
        builds.signed(made, PEM, binary, "0.8.0")
        yield Node(box, binary)


@pytest.fixture(scope="module")
def first(binary: Path) -> str:
    return str(builds.described(binary)["version"])


def test_what_nobody_pinned_has_signed_is_refused_and_nothing_changes(node, first):
    pid = node.pid
    unknown = node.bad("lies", pem=new_key()[0])
    told = node.update(unknown, code=13)
    assert told["error"]["code"] == "update.not_signed"
    node.box.path(unknown + SUFFIX).unlink()
    assert node.update(unknown, code=2)["error"]["code"] == "update.absent"
    assert (node.pid, node.version(), node.releases) == (pid, first, [first])


def test_a_damaged_file_is_refused(node, first):
    shutil.copy(node.box.path(f"{SRV}/newer"), node.box.path(f"{SRV}/damaged"))
    shutil.copy(node.box.path(f"{SRV}/newer{SUFFIX}"), node.box.path(f"{SRV}/damaged{SUFFIX}"))
    with node.box.path(f"{SRV}/damaged").open("r+b") as file:
        file.seek(5_000_000)
        file.write(b"\0damaged\0")
    told = node.update(f"{SRV}/damaged", code=13)
    assert told["error"]["code"] == "update.content_wrong"
    assert node.releases == [first]


def test_only_root_updates_and_anybody_may_ask(node):
    told = node.box.run("mnedge", "update", f"{SRV}/newer", user="daemon", code=13)
    assert "run it again with sudo" in told.stderr
    dry = node.box.says("mnedge", "update", f"{SRV}/newer", "--dry-run")
    assert "none of it done" in dry
    assert node.nothing_is_left()


def test_a_build_that_fails_its_self_test_is_never_switched_to(node, first):
    pid = node.pid
    told = node.update(node.bad("lies", selftest=1), code=1)
    assert told["error"]["code"] == "update.program_bad"
    assert (node.pid, node.releases) == (pid, [first])


def test_a_good_build_takes_over_and_work_in_flight_goes_on(node, first):
    node.begin("across")
    told = node.update(f"{SRV}/newer")
    assert (told["result"], told["well"], told["to_version"]) == ("confirmed", True, "0.8.0")
    assert node.version() == "0.8.0"
    assert node.releases == sorted([first, "0.8.0"])
    assert node.nothing_is_left()
    node.let_go("across")
    assert node.box.says("mnedge", "--version") == "mnedge 0.8.0"
    assert node.update(f"{SRV}/newer")["result"] == "same"
    assert not node.box.says("find", "/opt/mnedge", "-not", "-user", "root")


@pytest.mark.parametrize(
    "does, why",
    [
        ("crashes", "it ended "),
        ("gives up", "gave it up"),
        ("lies", "mnedge 0.8.0 answers where 0.9.0 should"),
        ("is silent", "it does not answer"),
    ],
)
def test_a_bad_build_is_taken_back_by_itself(node, does, why):
    node.begin(f"through-{does.replace(' ', '-')}")
    told = node.update(node.bad(does), code=1)
    assert (told["result"], told["well"]) == ("rolled_back", True)
    assert why in told["why"]
    assert node.version() == "0.8.0"
    assert "0.9.0" not in node.releases
    assert node.nothing_is_left()
    node.let_go(f"through-{does.replace(' ', '-')}")


def test_the_way_back_by_hand_is_an_update_as_well(node, first):
    told = node.update("--rollback")
    assert (told["result"], told["from_version"], told["to_version"]) == (
        *("confirmed", "0.8.0", first),
    )
    assert node.version() == first
    shown = node.update("--status")
    assert shown["current"].startswith(first)
    assert shown["previous"].startswith("0.8.0")
    assert shown["trial"] is None


@pytest.mark.parametrize("point", ["marked", "stopped", "confirming"])
def test_a_kill_of_the_updater_is_survived(node, point):
    """systemd starts the one that carries it again."""
    before = node.version()
    node.fault_once(f"update.{point}:1:kill")
    told = node.update("--rollback")
    assert told["result"] == "confirmed"
    assert node.version() == told["to_version"] != before
    assert node.nothing_is_left()
    assert "code=killed" in node.box.says("journalctl", "-u", "mnedge-update", "-o", "cat")


@pytest.mark.parametrize(
    "point, does, result",
    [
        ("marked", None, "abandoned"),
        ("switched", None, "confirmed"),
        ("started", "gives up", "rolled_back"),
    ],
)
def test_a_power_cut_in_the_middle_ends_at_the_next_boot(node, point, does, result):
    before, release = node.version(), node.current
    words = [node.bad(does)] if does else ["--rollback"]
    node.old_pid = node.pid
    node.fault_once(f"update.{point}:1:hang")
    node.box.run("systemd-run", "--unit=asked", "mnedge", "update", *words)
    node.box.until(lambda: node.came_to(point, release))
    node.box.cut_power()
    node.box.until(node.nothing_is_left)
    told = node.update("--status")["last"]
    assert (told["result"], told["unwell"]) == (result, "")
    assert node.version() == (told["to_version"] if result == "confirmed" else before)
    node.begin(f"after-{point}-{result}")
    node.let_go(f"after-{point}-{result}")
