import os
import subprocess

import pytest
import trio

from mnedge.execution import procfs

pytestmark = pytest.mark.live


@pytest.fixture
def sleeper():
    environment = {"A": "1", "MNEDGE_LAUNCH": "job/a/1", "Z": "2"}
    process = subprocess.Popen(["/bin/sleep", "60"], env=environment, start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_a_process_is_described(sleeper):
    stat = procfs.stat_of(sleeper.pid)
    assert stat.parent == os.getpid()
    assert stat.session == sleeper.pid
    assert stat.state in "RSD"


def test_a_name_with_spaces_and_parentheses_confuses_nobody(tmp_path):
    strange = tmp_path / ") Z 1 (x"
    strange.symlink_to("/bin/sleep")
    process = subprocess.Popen([str(strange), "60"])
    assert procfs.stat_of(process.pid).parent == os.getpid()
    process.kill()
    process.wait()


async def test_a_token_is_read_wherever_it_stands(sleeper):
    with trio.fail_after(5):
        while procfs.token_of(sleeper.pid) is None:  # until the child has become the command
            await trio.sleep(0.01)
    assert procfs.token_of(sleeper.pid) == "job/a/1"
    assert (sleeper.pid, "job/a/1") in list(procfs.running_tokens())


@pytest.mark.parametrize(
    "environment",
    [{"MNEDGE_LAUNCH": "first"}, {"A": "", "MNEDGE_LAUNCH": "first", "X_MNEDGE_LAUNCH": "no"}],
)
def test_only_the_variable_itself_counts(environment):
    asked = "cat /proc/self/environ; exec cat"
    with subprocess.Popen(
        ["/bin/cat"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdin.write(asked.encode())
        process.stdin.flush()
        process.stdout.read(len(asked))  # it runs
        assert procfs.token_of(process.pid) == "first"
        process.stdin.close()


def test_no_token_is_none():
    with subprocess.Popen(
        ["/bin/cat"], env={"X_MNEDGE_LAUNCH": "n"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdin.write(b"x")
        process.stdin.flush()
        process.stdout.read(1)
        assert procfs.token_of(process.pid) is None
        process.stdin.close()


def test_what_is_gone_is_none():
    with subprocess.Popen(["/bin/true"]) as process:
        pass
    assert procfs.stat_of(process.pid) is None
    assert procfs.token_of(process.pid) is None


def test_children_and_their_children_are_found():
    line = "sleep 60 & echo $!; wait"
    with subprocess.Popen(["/bin/sh", "-c", line], stdout=subprocess.PIPE, text=True) as process:
        grandchild = int(process.stdout.readline())
        assert process.pid in procfs.children()
        assert grandchild not in procfs.children()
        assert procfs.descendants(process.pid) == [grandchild]
        assert {process.pid, grandchild} <= set(procfs.descendants(os.getpid()))
        os.kill(grandchild, 9)
