"""`mnedge selftest` of the one file: on this machine, and on one that has no Python."""

import json
import os
import shutil
import signal
import subprocess

import psutil
import pytest

from tests.binary.bare_root import BareRoot, laid_out
from tests.live.box import until

pytestmark = pytest.mark.live
CHECKS = [
    "program",
    "modules",
    "files",
    "spawn helper",
    "Python for payloads",
    "verbs",
    "daemon starts",
    "job is cut by kill -9",
    "daemon starts again",
    "job completes",
    "daemon stops",
    "effects are the journal's",
    "events without a gap",
    "nothing left behind",
]


def ran(binary, *words, code=0, **environ):
    """Run to the end with these variables and no others."""
    done = subprocess.run(
        [binary, *words],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], **environ},
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture
def environ(runtime, tmp_path):
    (tmp_path / "tmp").mkdir()
    return {
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "MNEDGE_RUNTIME_DIR": str(runtime),
    }


def test_the_one_file_works_here(binary, environ):
    told = json.loads(ran(binary, "selftest", "--json", **environ).stdout)
    assert told["ok"] is True
    assert [check["name"] for check in told["checks"]] == CHECKS
    found = {check["name"]: check["found"] for check in told["checks"]}
    assert ", frozen, " in found["program"]
    assert found["spawn helper"] == "compiled"
    assert "/_internal/python/bin/python3" in found["Python for payloads"]


def test_a_person_sees_that_it_works_and_nothing_is_left_behind(binary, environ, tmp_path):
    done = ran(binary, "selftest", **environ)
    assert done.stdout.splitlines()[-1].startswith("✓ this program works here (")
    assert done.stderr == ""
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not (tmp_path / "home" / ".mn").exists(), "no node was made"


def test_a_machine_without_python_passes_it_too(binary, tmp_path):
    bare = BareRoot(laid_out(tmp_path / "root"))
    bare.bring(binary, "/mnedge")
    told = json.loads(bare.run("/mnedge", "selftest", "--json").stdout)
    assert told["ok"] is True
    assert {check["name"] for check in told["checks"]} == set(CHECKS)


def test_a_file_that_lacks_something_fails_it(onedir, environ, tmp_path):
    """A build that lost a file, a library or its compiled module is not shipped."""
    broken = tmp_path / "mnedge"
    shutil.copytree(onedir, broken, symlinks=True)
    internal = broken / "_internal"
    (internal / "mnedge" / "execution" / "module_host.py").unlink()
    for compiled in internal.rglob("_native*.so"):
        compiled.unlink()
    told = json.loads(ran(broken / "mnedge", "selftest", "--json", code=1, **environ).stdout)
    failed = {check["name"] for check in told["checks"] if not check["ok"]}
    assert {"files", "spawn helper"} <= failed


def has_ended(pid: int) -> bool:
    """Tell whether it runs no more; whoever it was left to may not have taken note of its end."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize(
    "number, code", [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 130), (signal.SIGINT, 130)]
)
def test_being_ended_leaves_no_process_behind(binary, environ, tmp_path, number, code):
    with subprocess.Popen(
        [binary, "selftest"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], **environ},
    ) as process:
        for line in process.stdout:
            if "daemon starts" in line:
                break
        daemon = int(line.split("process ")[1].split()[0])
        process.send_signal(number)
        assert process.wait(timeout=30) == code
    until(lambda: has_ended(daemon))
    if number != signal.SIGKILL:
        assert list((tmp_path / "tmp").iterdir()) == []
