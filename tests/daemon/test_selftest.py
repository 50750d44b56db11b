"""The self-test, with whole programs; and what it says when something is wrong."""

import os
import signal
import tempfile

import pytest

from mnedge.daemon import selftest
from mnedge.hot import native

pytestmark = pytest.mark.live
ENVIRON = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
STEPS = [
    "daemon starts",
    "job is cut by kill -9",
    "daemon starts again",
    "job completes",
    "daemon stops",
    "effects are the journal's",
    "events without a gap",
]


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Have temporary folders in a place that can be looked at."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


async def tried(environ=ENVIRON):
    told = []
    checks = await selftest.selftest(told.append, environ)
    assert told == checks
    return {check.name: check for check in checks}


async def test_a_good_program_passes_and_leaves_nothing_behind(temporary):
    checks = await tried(ENVIRON | {"MNEDGE_DATA_DIR": "/proc/nowhere", "MN_HOME": "/proc"})
    assert {name: check.found for name, check in checks.items() if not check.ok} == {}
    assert [*checks][-8:] == [*STEPS, "nothing left behind"]
    assert list(temporary.iterdir()) == []


async def test_a_daemon_that_does_not_start_says_why(temporary, monkeypatch):
    words = ("sh", "-c", "echo it hurts >&2; exit 3")
    monkeypatch.setattr("mnedge.shipped.program", lambda: words)
    checks = await tried()
    assert checks["daemon starts"].found == "the daemon ended: it hurts"
    assert "job completes" not in checks
    assert checks["nothing left behind"].ok
    assert list(temporary.iterdir()) == []


async def test_what_a_step_raises_is_told_as_it_is(temporary, monkeypatch):
    async def raises(self, store):
        raise selftest._FailedError("it ended too early")

    monkeypatch.setattr(selftest._Trial, "_still_runs", raises)
    checks = await tried()
    assert checks["job is cut by kill -9"].found == "it ended too early"
    assert checks["nothing left behind"].ok


async def test_being_told_to_end_it_cleans_up(temporary, monkeypatch):
    def stop(check):
        if check.name == "daemon starts":
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        await selftest.selftest(stop, ENVIRON)
    assert list(temporary.iterdir()) == []


async def test_a_daemon_that_hangs_is_not_waited_for_for_ever(temporary, monkeypatch):
    monkeypatch.setattr("mnedge.shipped.program", lambda: ("sh", "-c", "exec sleep 60", "sh"))
    monkeypatch.setattr(selftest, "WITHIN_S", 0.5)
    checks = await tried()
    assert checks["daemon starts"].found == "not done within 0.5 s"
    assert checks["nothing left behind"].ok


async def test_a_module_that_cannot_be_imported_is_named(temporary, monkeypatch):
    monkeypatch.setattr("mnedge.daemon.selftest_parts.LIBRARIES", ("no_such_library",))
    monkeypatch.setattr("mnedge.shipped.program", lambda: ("false",))
    checks = await tried()
    assert "no_such_library" in checks["modules"].found
    assert not checks["modules"].ok


async def test_a_frozen_program_without_its_compiled_module_fails(temporary, monkeypatch):
    monkeypatch.setattr(native, "available", lambda: (False, "the compiled module is gone"))
    monkeypatch.setattr("mnedge.shipped.program", lambda: ("false",))
    checks = await tried()
    assert checks["spawn helper"].ok  # from source the twin takes over
    monkeypatch.setattr("mnedge.shipped.frozen", lambda: True)
    monkeypatch.setattr("mnedge.shipped.python", lambda: None)
    checks = await tried()
    assert checks["spawn helper"].found == "the compiled module is gone"
    assert checks["Python for payloads"].found == "no interpreter came with the program"
    assert "no process can be started" in checks["daemon starts"].found
