"""A daemon under a service manager: its start, reload, watchdog, end, and next start."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT
from tests.live.box import Box, until
from tests.live.service_manager import Manager

pytestmark = pytest.mark.live


@pytest.fixture
def box(tmp_path):
    box = Box(tmp_path)
    yield box
    box.close()


@pytest.fixture
def manage(box):
    managers = []

    def started(*words, **options):
        managers.append(Manager(box, *words, **options))
        return managers[-1]

    yield started
    for manager in managers:
        manager.close()


@pytest.mark.drives("mnedge daemon")
@pytest.mark.parametrize("abstract", [False, True])
def test_a_service_manager_hears_of_the_start_and_of_the_end(manage, abstract):
    daemon = manage(abstract=abstract)
    daemon.until_said("READY=1")
    assert any(line.startswith("STATUS=ready on ") for line in daemon.said)
    told = json.loads((daemon.data_dir / "endpoints.json").read_text())
    assert told["pid"] == daemon.process.pid
    assert (daemon.data_dir / "endpoints.json").stat().st_mode & 0o777 == 0o600
    daemon.tell(signal.SIGTERM)
    assert daemon.ended() == 0
    assert "STOPPING=1" in daemon.said
    assert not (daemon.data_dir / "endpoints.json").exists()


def test_it_says_that_it_is_alive_as_long_as_loop_and_writer_get_on(manage):
    daemon = manage(WATCHDOG_USEC="200000")
    daemon.until(lambda: daemon.said.count("WATCHDOG=1") >= 3)
    daemon.tell(signal.SIGSTOP)
    daemon.listen_for(0.2)
    assert "WATCHDOG=1" not in daemon.listen_for(0.6)
    daemon.tell(signal.SIGCONT)
    before = daemon.said.count("WATCHDOG=1")
    daemon.until(lambda: daemon.said.count("WATCHDOG=1") > before)


def test_a_watchdog_for_another_process_is_none_of_its_business(manage):
    daemon = manage(WATCHDOG_USEC="100000", WATCHDOG_PID="1")
    daemon.until_said("READY=1")
    assert daemon.listen_for(0.5) == []


HANG = """
import os, signal, threading
from mnedge.store import commits
signal.signal(signal.SIGUSR1, lambda *_: threading.Event().wait(30))
def hang(self, writes):
    threading.Event().wait()
def after_a_while():
    {what}
threading.Timer(1.5, after_a_while).start()
"""
WRITER = "commits.Commits.commit = hang"
LOOP = "os.kill(os.getpid(), signal.SIGUSR1)"


@pytest.mark.parametrize("what", [WRITER, LOOP], ids=["writer", "loop"])
def test_a_hung_writer_or_loop_stops_the_pings(box, manage, what):
    """The site module makes one of them hang after a while; then there must be silence."""
    (box.folder / "sitecustomize.py").write_text(HANG.format(what=what))
    box.bundle("sleep 1")
    daemon = manage(WATCHDOG_USEC="200000", PYTHONPATH=f"{box.folder}:{box.environ['PYTHONPATH']}")
    daemon.until(lambda: daemon.said.count("WATCHDOG=1") >= 3)
    daemon.listen_for(2.0)
    if what == WRITER:
        # A write that never returns, so neither does who asks for it.
        box.start("blueprint", "run", "--folder", str(box.folder / "mine"), "--detach")
        daemon.listen_for(4.0)
    assert "WATCHDOG=1" not in daemon.listen_for(1.0)


def test_a_good_file_is_read_again(box, manage):
    file = box.folder / "config.yaml"
    file.write_text("daemon: {grace: 3s}\n")
    daemon = manage("--config", str(file))
    daemon.until_said("READY=1")
    file.write_text("daemon: {grace: 4s}\nnode: other\n")
    daemon.said.clear()
    daemon.tell(signal.SIGHUP)
    daemon.until_said("READY=1")
    assert daemon.said[0] == "RELOADING=1"
    moment = next(line for line in daemon.said if line.startswith("MONOTONIC_USEC="))
    told_at = int(moment.partition("=")[2]) / 1e6
    assert 0 <= time.clock_gettime(time.CLOCK_MONOTONIC) - told_at < 30
    daemon.until(lambda: "1 setting changed; a restart is needed for node" in daemon.words)


def test_a_bad_file_changes_nothing_and_is_told_whole(box, manage):
    file = box.folder / "config.yaml"
    file.write_text("node: here\n")
    daemon = manage("--config", str(file))
    daemon.until_said("READY=1")
    file.write_text("nod: x\ndaemon: {grace: soon}\n")
    daemon.said.clear()
    daemon.tell(signal.SIGHUP)
    daemon.until_said("READY=1")
    daemon.until(lambda: "the configuration has 2 errors; the old one stays" in daemon.words)
    assert f"{file}:1:1 CFG-E03 nod" in daemon.words
    assert f"{file}:2:17 CFG-E04 daemon.grace" in daemon.words
    daemon.tell(signal.SIGTERM)
    assert daemon.ended() == 0


def test_a_daemon_with_a_bad_file_does_not_start(box, manage):
    file = box.folder / "config.yaml"
    file.write_text("nod: x\n")
    daemon = manage("--config", str(file))
    assert daemon.ended() == 2
    assert "CFG-E03" in daemon.words
    assert "READY=1" not in daemon.said


def test_a_stop_waits_for_what_runs(box, manage):
    daemon = manage()
    daemon.until_said("READY=1")
    box.bundle(f"echo $MNEDGE_LAUNCH >> {box.folder}/tokens; sleep 1.5; echo done")
    submit(box)
    until(lambda: working(box))
    daemon.tell(signal.SIGTERM)
    assert daemon.ended() == 0
    assert "STOPPING=1" in daemon.said
    record = box.json("job", "show", "last")
    assert record["job"]["status"] == "completed"
    assert launches(box) == [1]


def test_what_outlives_the_grace_runs_again_under_the_next_daemon(box, manage):
    file = box.folder / "config.yaml"
    file.write_text("daemon: {grace: 300ms}\n")
    daemon = manage("--config", str(file))
    daemon.until_said("READY=1")
    flag = box.folder / "second"
    box.bundle(
        f"echo $MNEDGE_LAUNCH >> {box.folder}/tokens;"
        f" test -e {flag} || {{ touch {flag}; sleep 60; }}; echo done"
    )
    submit(box)
    until(flag.exists)
    daemon.tell(signal.SIGTERM)
    assert daemon.ended() == 0
    assert box.json("job", "show", "last")["job"]["status"] == "running"
    again = manage("--config", str(file))
    until(lambda: box.json("job", "show", "last")["job"]["status"] == "completed")
    assert launches(box) == [1, 2]
    again.tell(signal.SIGTERM)
    assert again.ended() == 0


def test_a_second_signal_leaves_at_once(box, manage):
    daemon = manage()
    daemon.until_said("READY=1")
    box.bundle("sleep 60")
    submit(box)
    until(lambda: working(box))
    daemon.tell(signal.SIGTERM)
    daemon.until_said("STOPPING=1")
    began = time.monotonic()
    daemon.tell(signal.SIGINT)
    assert daemon.ended() == 0
    assert time.monotonic() - began < 5


def test_a_thread_that_does_not_end_does_not_keep_the_daemon(tmp_path):
    daemon = subprocess.Popen(
        [sys.executable, "-c", STUCK],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    with daemon:
        try:
            assert daemon.stderr is not None
            while "stuck" not in daemon.stderr.readline():
                assert daemon.poll() is None
            daemon.send_signal(signal.SIGTERM)  # it stops already: this one means at once
            assert daemon.wait(timeout=15) == 0
        finally:
            daemon.kill()


STUCK = """
import os, sys, threading
sys.path.append(os.path.join(os.environ["PYTHONPATH"], "plugins"))
import trio
from mnedge.config.read import load_config
from mnedge.daemon import main
async def stop(self, here):
    def hang():
        print("stuck", file=sys.stderr, flush=True)
        threading.Event().wait()
    await trio.to_thread.run_sync(hang)
main._Life._up = lambda self, here: (setattr(self, "_is_up", True), self._told_to_stop.set())
main._Life._stop = stop
sys.exit(main.serve(lambda: load_config(os.environ)))
"""


def test_two_daemons_on_one_directory_are_refused(box, manage):
    daemon = manage()
    daemon.until_said("READY=1")
    told = box.call("daemon", code=1)
    assert f"already serves {daemon.data_dir} (process {daemon.process.pid})" in told.stderr
    assert (daemon.data_dir / "endpoints.json").exists()


def submit(box):
    box.call("blueprint", "run", "--folder", str(box.folder / "mine"), "--detach")


def working(box):
    """Tell whether the worker runs."""
    job = box.call("job", "events", "last", "-o", "ndjson", code=None)
    return "executor_lease_acquired" in job.stdout


def launches(box):
    """Return the launch numbers of what ran; every worker here writes its token down."""
    tokens = (box.folder / "tokens").read_text().split()
    return [int(token.rpartition("/")[2]) for token in tokens]


def test_workers_do_not_see_what_the_service_manager_says(box, manage):
    daemon = manage(MNEDGE_INHERIT_ENVIRONMENT="1", WATCHDOG_USEC="5000000", COLOUR="blue")
    daemon.until_said("READY=1")
    seen = box.folder / "seen"
    box.bundle(f"env > {seen}.part; mv {seen}.part {seen}")
    submit(box)
    until(seen.exists)
    assert "NOTIFY_SOCKET" not in seen.read_text()
    assert "COLOUR=blue" in seen.read_text()
