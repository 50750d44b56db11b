"""The one file on a machine under a real systemd, from `install` to `uninstall --purge`.

One boot, in the order of a node's life: later tests find what earlier ones left.
"""

import http.client
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.binary.systemd_machine import WITHIN_S, Machine, machine

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.geteuid() != 0, reason="root alone boots a machine"),
]

FILE = "/srv/mnedge"
DATA = "/var/lib/mnedge"
UNIT = "mnedge.service"
DROP_IN = f"/etc/systemd/system/{UNIT}.d/test.conf"
TERMINAL = ("completed", "failed", "cancelled")
SERVICES = ("live_telemetry",)
"""Blueprints that never end."""
OURS = (
    "/etc/mnedge/",
    "/etc/systemd/system/mnedge",
    "/etc/systemd/system/multi-user.target.wants/mnedge",
    "/etc/systemd/journald@mnedge.conf",
    "/opt/mnedge/",
    "/usr/local/bin/mnedge",
    "/usr/local/share/bash-completion/completions/mnedge",
    "/usr/local/share/zsh/site-functions/_mnedge",
    "/usr/local/share/fish/vendor_completions.d/mnedge.fish",
    "/var/lib/mnedge/",
    *(f"/etc/{name}{end}" for name in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")
      for end in ("", "-", ".lock")),
)  # fmt: skip
"""Everything that `mnedge docs installing` says it touches."""
SANDBOX = (
    "bwrap --unshare-all --ro-bind / / --proc /proc --dev /dev sh -c "
    "'echo pid $$; ls -d /proc/[0-9]* | wc -l; cat /proc/net/dev | wc -l'"
)
CONFINED = r"""
OPEN='import os, sys
try: os.open(sys.argv[1], os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
except PermissionError: sys.exit(1)
except OSError: pass  # allowed, and nothing is plugged in'
say() { printf '%s\t%s\n' "$1" "$2" >> "$MN_RUN_DIR/said"; }
try() { name=$1; shift; if "$@" >/dev/null 2>&1; then say "$name" yes; else say "$name" no; fi; }
try sandbox SANDBOX
try temporary sh -c 'echo x > /tmp/mine && echo x > /dev/shm/mine'
try limits sh -c 'ulimit -n 100'
try loopback bash -c 'exec 3<>/dev/udp/127.0.0.1/9'
try compile_in_place python3 -c 'import mmap; mmap.mmap(-1, 4096, prot=7)'
try open_serial python3 -c "$OPEN" /dev/ttyMine
try open_kernel_log python3 -c "$OPEN" /dev/kernel-log
try write_system touch /usr/mine
try write_settings touch /etc/mnedge/mine
try read_home ls /root
try see_others ls /proc/1/status
try trace_kernel dmesg
try become_root setpriv --reuid=0 true
try raise_priority nice -n -5 sh -c '[ "$(nice)" -lt 0 ]'
try set_clock date -s @0
try mount_here mount -t tmpfs tmpfs /mnt
try packets python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)'
"""
ALLOWED = {"sandbox", "temporary", "limits", "loopback", "compile_in_place", "open_serial"}


class Node:
    """The node on that machine, as its administrator works with it."""

    def __init__(self, box: Machine) -> None:
        self.box = box

    def get(self, path: str) -> Any:
        """Ask the daemon. Raises: OSError, ValueError while it is away."""
        return json.loads(self._asked("GET", path)[1])

    def post(self, path: str, body: Any = None) -> Any:
        """Tell the daemon to do something."""
        status, text = self._asked("POST", path, json.dumps(body or {}))
        assert status < 300, text
        return json.loads(text)

    def _asked(self, method: str, path: str, body: str | None = None) -> tuple[int, str]:
        line = http.client.HTTPConnection("node", timeout=WITHIN_S)
        with socket.socket(socket.AF_UNIX) as line.sock:
            line.sock.settimeout(WITHIN_S)
            line.sock.connect(str(self.box.path(f"{DATA}/mnedge.sock")))
            headers = {"content-type": "application/json"}
            line.request(method, f"/api/v1{path}", body, headers)
            answer = line.getresponse()
            return answer.status, answer.read().decode()

    def work(self, run_id: str, script: str) -> str:
        """Submit a job of one worker, a script for bash; return its id."""
        self.post("/jobs", {"manifest": self.manifest(run_id, script), "run_id": run_id})
        return run_id

    def manifest(self, name: str, script: str) -> dict[str, Any]:
        """Return a job of one worker, a script for bash."""
        worker = {
            "node_id": "w",
            "agent_type": "executor",
            "config": {
                "runner_module": "MirrorNeuron.Runner.HostLocal",
                "command": ["bash", "-c", script],
                "output_message_type": "done",
            },
        }
        sink = {"node_id": "s", "agent_type": "aggregator", "config": {"complete_on_message": True}}
        edge = {"edge_id": "e", "from_node": "w", "to_node": "s", "message_type": "done"}
        return {
            "manifest_version": "1.0",
            "graph_id": name,
            "job_name": name,
            "nodes": [worker, sink],
            "edges": [edge],
            "entrypoints": ["w"],
        }

    def status(self, job_id: str) -> str:
        """Return how a job is; nothing while the daemon is away."""
        try:
            return str(self.get(f"/jobs/{job_id}")["job"]["status"])
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            return ""

    def ended(self, job_id: str, within_s: float = WITHIN_S) -> str:
        """Wait for a job's end; return its status."""
        self.box.until(lambda: self.status(job_id) in TERMINAL, within_s)
        return self.status(job_id)

    def file(self, path: str) -> str:
        """Return what a worker wrote, if it wrote."""
        place = self.box.path(f"{DATA}/{path}")
        return place.read_text() if place.exists() else ""

    @property
    def pid(self) -> int:
        return int(self.box.property(UNIT, "MainPID"))

    def is_up(self) -> bool:
        return self.box.property(UNIT, "ActiveState") == "active"

    def signal(self, name: str) -> None:
        self.box.run("kill", f"-{name}", str(self.pid))

    def restarted(self, cause: Callable[[], None], within_s: float = WITHIN_S) -> None:
        """Wait until another process took the place of the one that `cause` ends."""
        before = self.pid
        cause()
        self.box.until(lambda: self.pid not in (0, before) and self.is_up(), within_s)


@pytest.fixture(scope="module")
def box(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with the one file on it, and people."""
    with machine(tmp_path_factory.mktemp("systemd")) as made:
        shutil.copy(binary, made.path(FILE))
        for name in ("member", "stranger"):
            made.run("useradd", "--create-home", "--home-dir", f"/srv/{name}", name)
        made.run("mknod", "-m", "0660", "/dev/ttyMine", "c", "4", "71")
        made.run("chgrp", "dialout", "/dev/ttyMine")
        made.run("mknod", "-m", "0666", "/dev/kernel-log", "c", "1", "11")
        yield made


@pytest.fixture(scope="module")
def before(box: Machine) -> dict[str, int]:
    """What was written on it before anything was installed."""
    return box.changes()


@pytest.fixture(scope="module")
def node(box: Machine) -> Node:
    return Node(box)


def changed_since(box: Machine, before: dict[str, int]) -> set[str]:
    """Return the files that came into being or were written; not logs, nor unpacked for people."""
    changed = {path for path, at in box.changes().items() if before.get(path) != at}
    return {path for path in changed if not path.startswith("/var/log/") and "/.cache/" not in path}


def test_a_dry_run_shows_the_steps_and_changes_nothing(box, before):
    told = box.says(FILE, "install", "--dry-run")
    assert "none of them done" in told
    assert not changed_since(box, before)


def test_only_root_installs(box):
    told = box.run(FILE, "install", code=13, user="stranger", HOME="/srv/stranger")
    assert "only root may" in told.stderr


def test_a_failure_half_way_names_the_step_and_the_next_run_ends_it(box):
    box.path("/etc/mnedge").write_text("in the way")
    told = box.run(FILE, "install", code=2)
    assert "/etc/mnedge is there" in told.stderr
    box.path("/etc/mnedge").unlink()
    box.path("/usr/local/share/fish").mkdir(exist_ok=True)
    box.path("/usr/local/share/fish/vendor_completions.d").write_text("in the way")
    told = box.run(FILE, "install", code=None)
    assert told.returncode == 1
    assert "step " in told.stderr
    assert "vendor_completions.d" in told.stderr
    box.path("/usr/local/share/fish/vendor_completions.d").unlink()


def test_one_word_makes_a_supervised_node_and_touches_nothing_else(box, node, before):
    began = time.monotonic()
    told = box.says(FILE, "install")
    assert time.monotonic() - began < 60
    assert "mnedge is installed" in told
    assert node.is_up()
    assert box.property(UNIT, "UnitFileState") == "enabled"
    assert node.get("/health")["status"] == "ok"
    others = {path for path in changed_since(box, before) if not path.startswith(OURS)}
    assert not others
    assert not box.says("find", "/opt/mnedge", "-not", "-user", "root")
    assert not box.says("find", "/opt/mnedge", "-perm", "/022", "-not", "-type", "l")


def test_the_second_run_has_nothing_to_do(box, node):
    pid = node.pid
    assert "nothing to do" in box.says("mnedge", "install")
    assert json.loads(box.says(FILE, "install", "--json"))["steps"] == []
    assert node.pid == pid


def test_the_running_unit_is_hardened_and_known_to_doctor(box):
    box.run("systemd-analyze", "security", "--threshold=20", "--no-pager", UNIT)
    found = json.loads(box.says("mnedge", "doctor", "--json"))["findings"]
    told = {(one["group"], one["name"]): one["status"] for one in found}
    assert told["installation", "unit"] == told["installation", "release"] == "ok"
    assert told["daemon", "daemon"] == "ok"
    assert "broken" not in told.values()


def test_every_bundled_blueprint_completes_under_the_unit(box, node):
    names = [
        one["blueprint_id"] for one in json.loads(box.says("mnedge", "blueprint", "list", "--json"))
    ]
    assert len(names) > 15
    made = {name: node.post("/jobs", {"blueprint": name})["job_id"] for name in names}
    endless = {name: made.pop(name) for name in SERVICES}
    states = {name: node.ended(job_id) for name, job_id in made.items()}
    assert set(states.values()) == {"completed"}, states
    for job_id in endless.values():
        assert node.status(job_id) == "running"
        node.post(f"/jobs/{job_id}/cancel")
        assert node.ended(job_id) == "cancelled"


def test_workers_may_sandbox_and_use_devices_and_nothing_that_endangers_the_machine(box, node):
    job = node.work("confined", CONFINED.replace("SANDBOX", SANDBOX))
    assert node.ended(job) == "completed"
    told = dict(line.split("\t") for line in node.file(f"runs/{job}/said").splitlines())
    may = {name for name, answer in told.items() if answer == "yes"}
    assert set(told) > ALLOWED
    if not box.guards_devices:
        may.discard("open_kernel_log")
    assert may == ALLOWED, told


def test_devices_are_listed(box):
    told = json.loads(box.says("mnedge", "resource", "list", "--json"))
    assert "cpu" in json.dumps(told)


def test_members_of_the_group_use_the_node_and_strangers_do_not(box):
    box.run("usermod", "-aG", "mnedge", "member")
    member = {"user": "member", "HOME": "/srv/member"}
    made = json.loads(box.says("mnedge", "blueprint", "run", "tide_table", "--json", **member))
    assert made["job"]["status"] == "completed"
    job_id = made["job"]["job_id"]
    assert job_id in box.says("mnedge", "job", "list", **member)
    assert job_id in box.says("mnedge", "run", "list", **member)
    assert job_id in box.says("mnedge", "run", "show", "last", **member)
    assert "of mnedge" in box.says("mnedge", "doctor", **member)
    box.run("ls", f"{DATA}/runs", code=2, **member)
    told = box.run("mnedge", "job", "list", code=13, user="stranger", HOME="/srv/stranger")
    assert "usermod -aG mnedge" in told.stderr


def test_what_root_does_stays_the_nodes(box, node):
    box.run("mnedge", "blueprint", "run", "message_routing_trace", "--quiet")
    box.run("systemctl", "stop", UNIT)
    told = box.run("mnedge", "blueprint", "run", "message_routing_trace", code=13)
    assert "systemctl start mnedge" in told.stderr
    box.run("mnedge", "job", "list")
    told = box.run("mnedge", "job", "list", code=13, user="member", HOME="/srv/member")
    assert "of mnedge, and its daemon does not answer" in told.stderr
    box.run("mnedge", "doctor", code=None)
    made = json.loads(box.says("mnedge", "blueprint", "run", "tide_table", "-d", "--json"))
    assert not box.says("find", DATA, "-not", "-user", "mnedge")
    box.run("systemctl", "start", UNIT)
    assert node.ended(made["job"]["job_id"]) == "completed"


def test_what_the_nodes_user_carries_by_hand_is_not_taken_from_it(box, node):
    """The service sees no processes of others, and must not take them for gone."""
    box.run("systemctl", "stop", UNIT)
    script = f"echo began >> {DATA}/by-hand; while [ ! -e {DATA}/go ]; do sleep 0.1; done"
    bundle = box.path("/srv/by-hand")
    (bundle / "config").mkdir(parents=True)
    (bundle / "config" / "default.json").write_text("{}")
    (bundle / "manifest.json").write_text(json.dumps(node.manifest("by-hand", script)))
    call = "mnedge blueprint run --folder /srv/by-hand --run-id by-hand --quiet >/tmp/by-hand 2>&1"
    box.run("sh", "-c", f"setsid runuser -u mnedge -- {call} </dev/null &")
    box.until(lambda: node.file("by-hand"))
    box.run("systemctl", "start", UNIT)
    job = node.work("another", "true")
    assert node.ended(job) == "completed"
    assert node.file("by-hand") == "began\n"
    box.path(f"{DATA}/go").touch()
    assert node.ended("by-hand") == "completed"
    assert node.file("by-hand") == "began\n"


def test_a_stop_lets_work_finish(box, node):
    node.work("graceful", f"echo began >> {DATA}/graceful; sleep 2; echo done >> {DATA}/graceful")
    box.until(lambda: node.file("graceful"))
    box.run("systemctl", "stop", UNIT)
    assert box.property(UNIT, "Result") == "success"
    assert node.file("graceful") == "began\ndone\n"
    box.run("systemctl", "start", UNIT)
    assert node.ended("graceful") == "completed"
    assert node.file("graceful") == "began\ndone\n"


def test_a_crash_is_followed_by_a_restart_and_the_work_is_taken_up(box, node):
    node.work("crash", f"echo began >> {DATA}/crash; [ $(wc -l < {DATA}/crash) -gt 1 ] || sleep 60")
    box.until(lambda: node.file("crash"))
    node.restarted(lambda: node.signal("KILL"))
    assert node.ended("crash") == "completed"
    assert node.file("crash") == "began\nbegan\n"


def test_a_node_that_hangs_is_killed_by_the_watchdog_and_begins_anew(box, node):
    box.path(DROP_IN).parent.mkdir()
    box.path(DROP_IN).write_text("[Service]\nWatchdogSec=2\nRestartSec=0\n")
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "restart", UNIT)
    pid = node.pid
    node.restarted(lambda: node.signal("STOP"))
    assert (
        f"killing process {pid}"
        in box.says("sh", "-c", f"journalctl -u {UNIT} -o cat --no-pager | grep -i killing").lower()
    )
    assert "watchdog timeout" in box.says("journalctl", "-u", UNIT, "-o", "cat").lower()
    assert node.get("/health")["status"] == "ok"
    assert "test.conf" in box.says("mnedge", "doctor", code=None)


def test_a_reload_is_taken_up_and_a_wrong_file_changes_nothing(box, node):
    config = box.path("/etc/mnedge/config.yaml")
    good, pid = config.read_text(), node.pid
    config.write_text(good + "trace: {logs: {level: debug}}\n")
    box.run("systemctl", "reload", UNIT)
    box.until(lambda: "1 setting changed" in box.journal())
    config.write_text("nonsense\n")
    box.run("systemctl", "reload", UNIT, code=1)
    box.until(lambda: "CFG-E04" in box.journal())
    assert '"level":"error"' not in box.journal()
    node.signal("HUP")  # as somebody does who does not ask systemd
    box.until(lambda: '"level":"error"' in box.journal())
    assert node.pid == pid
    box.run("systemctl", "restart", UNIT, code=1)
    box.until(lambda: box.property(UNIT, "ActiveState") == "failed")
    assert box.run(FILE, "install", code=2).stderr
    config.write_text(good)
    box.run(FILE, "install")
    assert node.is_up()


def test_an_address_that_is_taken_is_told_and_taken_up_once_it_is_free(box, node):
    config = box.path("/etc/mnedge/config.yaml")
    good = config.read_text()
    config.write_text(good.replace("#http: 127.0.0.1:8080", "http: 127.0.0.1:8080"))
    box.run(
        "systemd-run", "--unit=taken", "python3", "-m", "http.server", "8080", "-b", "127.0.0.1"
    )
    try_it = "import socket; socket.create_connection(('127.0.0.1', 8080))"
    box.until(lambda: box.run("python3", "-c", try_it, code=None).returncode == 0)
    told = box.run("systemctl", "restart", UNIT, code=None)
    assert told.returncode
    told = box.run(FILE, "install", code=1)
    assert "cannot listen on 127.0.0.1:8080" in told.stderr
    box.run("systemctl", "stop", "taken")
    box.until(node.is_up)
    config.write_text(good)
    box.run("systemctl", "restart", UNIT)


def test_the_log_has_a_journal_of_its_own_with_bounds(box):
    assert "mnedge daemon ready" in box.journal()
    assert "max 64.0M" in box.says("journalctl", "--namespace=mnedge", "-o", "cat", "--no-pager")


def test_shells_complete(box):
    place = "/usr/local/share/bash-completion/completions/mnedge"
    assert "mnedge" in box.says("bash", "-c", f". {place}; complete -p mnedge")


def test_what_was_installed_goes_and_the_jobs_are_there_when_it_comes_back(box, node):
    before = len(node.get("/jobs?limit=500")["data"])
    told = box.says("mnedge", "uninstall")
    assert "mnedge is gone" in told
    left = set(box.says("sh", "-c", "find /opt /usr/local /etc -name '*mnedge*'").splitlines())
    assert left == {"/etc/systemd/system/mnedge.service.d", "/etc/mnedge"}
    assert box.run("systemctl", "status", UNIT, code=None).returncode == 4
    assert "not installed" in box.run(FILE, "uninstall", code=2).stderr
    box.run(FILE, "install")
    assert len(node.get("/jobs?limit=500")["data"]) == before


def test_purge_leaves_nothing(box):
    asked = box.run("mnedge", "uninstall", "--purge", code=2)
    assert "--yes" in asked.stderr
    left_running = "setsid setpriv --reuid=mnedge --regid=mnedge --clear-groups sleep 600"
    box.run("sh", "-c", f"{left_running} </dev/null >/dev/null 2>&1 &")
    box.run("mnedge", "uninstall", "--purge", "--yes")
    named = {path for path in box.changes() if "mnedge" in path and "/.cache/" not in path}
    left = {path for path in named if box.path(path).exists()}
    assert left == {FILE}
    assert box.run("id", "mnedge", code=1).stdout == ""
    with pytest.raises(AssertionError):
        box.run("systemctl", "cat", UNIT)


def test_jobs_that_root_ran_before_become_the_nodes(box, node):
    words = ("--data-dir", DATA, "blueprint", "run", "message_routing_trace", "--quiet")
    box.run(FILE, *words)
    assert box.says("find", DATA, "-user", "root")
    box.run(FILE, "install")
    assert len(node.get("/jobs")["data"]) == 1
    assert not box.says("find", DATA, "-not", "-user", "mnedge")
    box.run("mnedge", "uninstall", "--purge", "--yes")


def test_without_systemd_the_rest_is_done_and_told_what_to_do(box):
    hidden = "mount -t tmpfs tmpfs /run/systemd && mount -t tmpfs tmpfs /usr/lib/systemd"
    start = "setsid runuser -u mnedge -- mnedge daemon --config /etc/mnedge/config.yaml &"
    await_it = f"while [ ! -S {DATA}/mnedge.sock ]; do sleep 0.1; done"
    refused = "! mnedge uninstall --purge --yes"
    stop = "pkill -TERM -u mnedge; wait"
    words = f"{FILE} install && {FILE} install && {start}\n{await_it}\n{refused} && {stop}\n"
    words = f"{hidden} && {words} mnedge uninstall --purge --yes"
    told = box.says("unshare", "--mount", "bash", "-ec", words)
    assert "mnedge is installed" in told
    assert told.count("/usr/local/bin/mnedge daemon --config /etc/mnedge/config.yaml\n") == 2
    assert "nothing to do" in told
    assert "systemctl" not in told


def test_an_image_becomes_a_node_when_it_boots(box):
    """`--root`: what is written into a folder is what the machine itself would have got."""
    box.run(FILE, "install", "--no-start")
    own = box.says("sh", "-c", f"cat /etc/systemd/system/{UNIT}; cat /etc/mnedge/config.yaml")
    accounts = "/etc/passwd /etc/group /etc/shadow /etc/gshadow /etc/login.defs"
    box.run("mkdir", "-p", "/image/etc", "/image/usr/lib/systemd")
    box.run("sh", "-c", f"cp {accounts} /image/etc; touch /image/usr/lib/systemd/systemd")
    box.run(FILE, "install", "--root", "/image")
    image = box.says(
        "sh", "-c", f"cat /image/etc/systemd/system/{UNIT}; cat /image/etc/mnedge/config.yaml"
    )
    assert image == own
    link = "/image/etc/systemd/system/multi-user.target.wants/mnedge.service"
    assert box.says("readlink", link) == f"/etc/systemd/system/{UNIT}"
    assert box.says("readlink", "/image/usr/local/bin/mnedge") == "/opt/mnedge/current/mnedge"
