"""The machine below an update: programs tried, a stand-in for systemctl, a node that answers."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from mnedge.config.layout import Layout
from mnedge.systemd import ServiceError
from mnedge.updates import machine as machines
from mnedge.updates.machine import NOBODY, ProgramBadError, ThisMachine
from mnedge.updates.releases import runs_from

pytestmark = pytest.mark.live

SYSTEMCTL = """#!/bin/sh
echo "$*" >> {log}
case "$*" in
"show mnedge.service"*) printf 'NRestarts=4\\nActiveState=failed\\nMainPID=%s\\n' "$MAIN_PID" ;;
show*) echo ActiveState=active ;;
stop*) echo "Job failed" >&2; exit 1 ;;
esac
"""
NODE = """
import http.server, socketserver, sys
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = sys.argv[2].encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body)))
        self.end_headers(); self.wfile.write(body)
    def address_string(self): return ""
    def log_message(self, *_): pass
server = socketserver.UnixStreamServer(sys.argv[1], Health)
print("up", flush=True)
server.serve_forever()
"""


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "root")
    layout.runtime.mkdir(parents=True)
    for folder in (*tmp_path.parents[:3], tmp_path, layout.root):
        with suppress(PermissionError):
            folder.chmod(folder.stat().st_mode | 0o055)
    return layout


@pytest.fixture
def machine(layout):
    return ThisMachine(layout, now=5.0, data_dir=layout.root)


@pytest.fixture
def node(tmp_path):
    """Return what starts a process that answers as a node does."""
    started = []

    def start(said):
        path = str(tmp_path / "s")
        process = subprocess.Popen([sys.executable, "-c", NODE, path, said], stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        return path, process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def program(layout, text):
    path = layout.at("/mnedge")
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_program_says_what_it_is(layout, machine):
    told = '{"version":"1","flavour":"lean","platform":"p","schema":1,"engine_revision":2}'
    path = program(layout, f"echo '{told}'")
    assert machine.described(path).engine_revision == 2
    assert machine.unpack(program(layout, "echo mnedge 1.2.3")) == "1.2.3"
    with pytest.raises(ProgramBadError, match="does not say what it is"):
        machine.described(program(layout, "echo hello"))


def test_a_program_that_does_not_work_says_why(layout, machine, monkeypatch):
    machine.try_out(program(layout, 'test "$1" = selftest'))
    with pytest.raises(ProgramBadError, match="ended with 3: out of luck"):
        machine.try_out(program(layout, "echo out of luck; exit 3"))
    with pytest.raises(ProgramBadError, match=r"ended with 3$"):
        machine.try_out(program(layout, "exit 3"))
    broken = layout.at("/broken")
    broken.write_bytes(b"\x7fELFnonsense")
    broken.chmod(0o755)
    with pytest.raises(ProgramBadError, match="does not start"):
        machine.try_out(broken)
    monkeypatch.setattr(machines, "TRIED_S", 0.2)
    with pytest.raises(ProgramBadError, match="did not end within"):
        machine.try_out(program(layout, "sleep 60"))


def test_a_program_is_tried_in_a_clean_environment_in_a_folder_of_its_own(
    layout, machine, monkeypatch, tmp_path
):
    monkeypatch.setenv("SECRET", "x")
    said = tmp_path / "said"
    said.touch()
    said.chmod(0o666)
    machine.try_out(program(layout, f"env > {said}; pwd >> {said}"))
    told = said.read_text()
    assert "SECRET" not in told
    assert f"MNEDGE_RUNTIME_DIR={layout.runtime}" in told
    assert machine.unpack(program(layout, "echo look here >&2; echo mnedge 1.2.3")) == "1.2.3"
    home = next(line for line in told.splitlines() if line.startswith("HOME=")).partition("=")[2]
    assert not Path(home).exists()


def test_a_file_that_nobody_installed_unpacks_where_its_owner_has_it(layout, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MNEDGE_RUNTIME_DIR", str(tmp_path / "mine"))
    said = tmp_path / "said"
    ThisMachine(layout, now=0.0, data_dir=None).try_out(program(layout, f"env > {said}"))
    told = said.read_text()
    assert f"HOME={tmp_path}\n" in told
    assert f"MNEDGE_RUNTIME_DIR={tmp_path}/mine\n" in told


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone gives up rights")
def test_root_tries_a_program_with_the_rights_of_the_owner_of_the_data(layout, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    said = program(layout, 'test "$(id -u)" = "$WANTED"')
    said.write_text('#!/bin/sh\necho "it is $(id -u)"; exit 1\n')
    with pytest.raises(ProgramBadError, match=f"it is {NOBODY}"):
        ThisMachine(layout, now=0.0, data_dir=data).try_out(said)
    os.chown(data, 2, 2)
    with pytest.raises(ProgramBadError, match=r"it is 2$"):
        ThisMachine(layout, now=0.0, data_dir=data).try_out(said)
    with pytest.raises(ProgramBadError, match=r"it is 0$"):
        ThisMachine(layout, now=0.0, data_dir=None).try_out(said)


def test_a_node_is_asked_and_its_process_is_known(layout, machine, node):
    path, _ = node(json.dumps({"status": "ok", "version": "1.2"}))
    seen = machine.seen(path)
    assert (seen.version, seen.status, seen.key) == ("1.2", "ok", "")
    assert machine.runs(path)
    assert machine.seen(path + "-absent").version is None


def test_a_process_of_ours_is_known_by_the_folder_it_runs_from(layout):
    place = layout.runtime / "0123456789abcdef" / "mnedge"
    place.mkdir(parents=True)
    shutil.copy(shutil.which("sleep") or "", place / "mnedge")
    process = subprocess.Popen([place / "mnedge", "60"])
    try:
        assert runs_from(Path(f"/proc/{process.pid}"), layout.runtime) == "0123456789abcdef"
        assert runs_from(Path("/proc/self"), layout.runtime) == ""
    finally:
        process.kill()
        process.wait()


def test_without_systemd_the_node_is_told_to_end_and_its_supervisor_starts_it(machine, node):
    path, process = node(json.dumps({"status": "ok", "version": "1.2"}))
    machine.stop(path)  # who started it has not taken note of its end: it counts all the same
    assert not machine.runs(path)
    assert process.wait(0) == -signal.SIGTERM
    machine.start()
    machine.stop(path)
    assert not machine.hand_over()


def test_a_node_that_does_not_heed_it_is_killed(monkeypatch):
    monkeypatch.setattr(machines, "STOPPED_S", 0.2)
    deaf = 'trap "" TERM; echo up; exec sleep 60'
    with subprocess.Popen(["sh", "-c", deaf], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        machines._end(process.pid)
        assert process.wait(0) == -signal.SIGKILL
    machines._end(process.pid)


def test_a_node_whose_process_cannot_be_seen_is_left_alone_and_so_are_we():
    with pytest.raises(ServiceError, match="cannot be seen from here"):
        machines._end(0)


@pytest.fixture
def systemctl(layout, tmp_path, monkeypatch):
    """A service manager that writes down what it is told."""
    folder, log = tmp_path / "bin", tmp_path / "told"
    folder.mkdir()
    (folder / "systemctl").write_text(SYSTEMCTL.format(log=log))
    (folder / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(ThisMachine, "systemd", True)
    layout.update_unit.parent.mkdir(parents=True)
    return log


def test_systemd_is_asked_about_the_unit(machine, systemctl, layout):
    seen = machine.seen("absent")
    assert (seen.restarts, seen.failed, seen.version) == (4, True, None)
    assert not machine.runs("absent")
    assert machine.carries()
    assert not machine.hand_over()
    layout.update_unit.touch()
    assert machine.hand_over()
    machine.start()
    told = systemctl.read_text().splitlines()
    assert told[-4:] == [
        "reset-failed mnedge-update.service",
        "start --no-block mnedge-update.service",
        "reset-failed mnedge.service",
        "start --no-block mnedge.service",
    ]


def test_what_systemd_refuses_is_said(machine, systemctl):
    with pytest.raises(ServiceError, match=r"stop mnedge\.service: Job failed"):
        machine.stop("absent")


def test_the_date_goes_on_from_what_was_told(machine):
    first = machine.now()
    machine.wait()
    assert 5.0 <= first < machine.now() < 60.0
    assert len(machine.boot_id()) in (0, 36)


def test_under_systemd_nobody_but_the_service_speaks_for_it(machine, systemctl, node, monkeypatch):
    """A worker that takes over the socket would else say that a bad release is well."""
    path, process = node(json.dumps({"status": "ok", "version": "1.2"}))
    monkeypatch.setenv("MAIN_PID", "1")
    assert machine.seen(path).version is None
    monkeypatch.setenv("MAIN_PID", str(process.pid))
    assert machine.seen(path).version == "1.2"
