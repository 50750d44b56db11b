"""Who holds a claim, and how it is seen whether that process lives."""

import os
import subprocess
import sys

import pytest

from mnedge.store import claims
from mnedge.store.claims import HOST_NAMESPACE, Process, lives, this_process


def test_this_process_lives():
    assert lives(str(this_process()))
    assert this_process().pid == os.getpid()


def test_a_name_is_read_back_as_it_was_written():
    for process in (
        Process("b00t-1d", 7, "12345"),
        Process("b00t-1d", 7, "12345", "4026532999"),
    ):
        assert Process.parse(str(process)) == process
    assert str(Process("b00t-1d", 7, "12345")) == "b00t-1d:7:12345"
    for nonsense in ("", "a:b:c", "somebody", "a:1", "a:1:2:3:4"):
        assert Process.parse(nonsense) is None
        assert not lives(nonsense)


@pytest.mark.parametrize(
    "changed", [{"boot_id": "another boot"}, {"start": "1"}, {"pid": 1 << 22 | 1}]
)
def test_another_boot_pid_or_start_is_another_process(changed):
    assert not lives(str(this_process()._replace(**changed)))


def test_a_process_of_another_container_lives_if_it_answers():
    elsewhere = this_process()._replace(namespace="1")
    asked = []

    def answers(process):
        asked.append(process)
        return True

    assert lives(str(elsewhere), answers)
    assert asked == [elsewhere]
    assert not lives(str(elsewhere))
    assert not lives(str(elsewhere._replace(boot_id="another boot")), answers)


def test_without_the_proc_file_system_psutil_tells(monkeypatch, tmp_path):
    monkeypatch.setattr(claims, "PROC", str(tmp_path))
    process = this_process()
    assert process.namespace == HOST_NAMESPACE
    assert float(process.boot_id) > 0
    assert lives(str(process))
    assert not lives(str(process._replace(pid=1 << 22 | 1)))
    assert not lives(str(process._replace(start="1.00")))


def test_a_process_that_proc_hides_is_not_taken_for_gone(monkeypatch, tmp_path):
    """As under ProtectProc=invisible: only what is one's own has a folder there."""
    process = this_process()._replace(pid=os.getppid())
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "stat").write_text("")
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text(process.boot_id)
    monkeypatch.setattr(claims, "PROC", str(tmp_path))
    unseen = process._replace(namespace=HOST_NAMESPACE)
    assert lives(str(unseen))
    assert not lives(str(unseen._replace(pid=1 << 22 | 1)))
    assert not lives(str(unseen._replace(boot_id="another boot")))


async def test_a_claim_names_this_process_unless_told_otherwise(inline_store):
    claim = await inline_store.claims.claim("job/1")
    assert claim.holder == str(this_process())


async def test_epochs_go_on_when_a_forgotten_job_comes_back(inline_store):
    first = await inline_store.claims.claim("job/j")
    await inline_store.journal.append("j", first.epoch, 1, [b"x"])
    await inline_store.claims.release(first)
    await inline_store.journal.forget("j")
    again = await inline_store.claims.claim("job/j")
    assert again.epoch > first.epoch


async def test_forgetting_a_job_leaves_a_claim_that_is_held(inline_store):
    claim = await inline_store.claims.claim("job/j")
    await inline_store.journal.append("j", claim.epoch, 1, [b"x"])
    await inline_store.journal.forget("j")
    assert await inline_store.claims.holder("job/j") == claim.holder


@pytest.mark.live
def test_a_process_is_gone_as_soon_as_it_is_killed_even_before_anybody_waits_for_it():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        start = claims._start_of(child.pid)
        name = str(this_process()._replace(pid=child.pid, start=start))
        assert lives(name)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
        assert not lives(name)
    finally:
        child.kill()
        child.communicate()
    assert not lives(name)


def test_a_holder_is_called_by_its_process_id():
    assert claims.process_name("6d0e-1:4711:99") == "process 4711"
    assert claims.process_name("6d0e-1:4711:99:4026531836") == "process 4711"
    assert claims.process_name("elsewhere") == "elsewhere"
    assert claims.process_name(None) == "nobody"
