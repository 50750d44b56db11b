import ctypes
import errno
import os
import signal
import subprocess
import sys
import threading

import pytest

from mnedge.hot import native
from mnedge.hot.spawn import (
    SpawnUnavailableError,
    become_subreaper,
    best_spawn,
    find_program,
    spawn_native,
    spawn_plain,
)
from tests.conftest import ROOT

pytestmark = pytest.mark.live

NATIVE = pytest.param(
    spawn_native,
    marks=pytest.mark.skipif(not native.available()[0], reason=native.available()[1]),
)


@pytest.fixture(params=[NATIVE, spawn_plain], ids=["native", "plain"])
def spawn(request):
    return request.param


@pytest.fixture
def null():
    fd = os.open(os.devnull, os.O_RDWR)
    yield fd
    os.close(fd)


def output_of(spawn, null, *arguments, environment=None, directory="/"):
    """Run to the end; return stdout and the wait status."""
    ours, theirs = os.pipe()
    try:
        pid = spawn(arguments[0], arguments, environment or {}, directory, (null, theirs, theirs))
    finally:
        os.close(theirs)
    with open(ours, "rb") as file:
        said = file.read()
    _, status = os.waitpid(pid, 0)
    return said.decode(), status


def test_arguments_and_environment_arrive_exactly(spawn, null):
    code = "import os, sys; print(sys.argv[1:]); print(dict(sorted(os.environ.items())))"
    given = {"A": "1", "B": "", "C=": "no", "EMPTY": "x=y", "UMLAUT": "\u00fc", "BYTES": "\udcff"}
    del given["C="]
    said, status = output_of(
        spawn, null, sys.executable, "-I", "-S", "-c", code, "a b", "", "\u00fc",
        environment={**given, "LC_CTYPE": "C.UTF-8"},
    )  # fmt: skip
    assert status == 0
    arguments, environment = said.splitlines()
    assert arguments == str(["a b", "", "\u00fc"])
    assert environment == str(dict(sorted({**given, "LC_CTYPE": "C.UTF-8"}.items())))


def test_nothing_is_added_to_the_environment(spawn, null):
    said, _ = output_of(spawn, null, "/usr/bin/env", environment={"ONLY": "this"})
    assert said == "ONLY=this\n"
    said, _ = output_of(spawn, null, "/usr/bin/env")
    assert said == ""


def test_it_leads_a_session_in_its_directory_with_three_files(spawn, null):
    leaked = os.dup2(null, 200, inheritable=True)
    try:
        line = "pwd; cut -d' ' -f1,5,6 /proc/self/stat; ls /proc/self/fd | tr '\\n' ' '; echo $$"
        said, _ = output_of(
            spawn, null, "/bin/sh", "-c", line, environment={"PATH": "/usr/bin:/bin"},
            directory="/usr",
        )  # fmt: skip
    finally:
        os.close(leaked)
    where, ids, *rest = said.split("\n")
    files, leader = " ".join(rest).split()[:-1], rest[0].split()[-1]
    assert where == "/usr"
    assert ids.split()[1:] == [leader, leader], "group and session are its own"
    assert set(files) <= {"0", "1", "2", "3"}, "the fourth is the listing's own"


def test_signals_are_as_a_program_expects_them(spawn, null):
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for `command &`
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        said, _ = output_of(spawn, null, "/bin/cat", "/proc/self/status")
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
        signal.signal(signal.SIGUSR1, before)
        signal.signal(signal.SIGINT, ignored)
    masks = dict(line.split(":\t") for line in said.splitlines() if line.startswith("Sig"))
    reserved = 0b11 << 31  # of the C library
    assert int(masks["SigBlk"], 16) == 0
    assert int(masks["SigIgn"], 16) & ~reserved == 0, "what we ignore is not a worker's"


@pytest.mark.parametrize(
    "path,directory,number,about",
    [
        ("/no/such/program", "/", errno.ENOENT, "/no/such/program"),
        ("/etc/passwd", "/", errno.EACCES, "/etc/passwd"),
        ("/bin", "/", errno.EACCES, "/bin"),
        ("/bin/true", "/no/such/directory", errno.ENOENT, "/no/such/directory"),
        ("/bin/true", "/etc/passwd", errno.ENOTDIR, "/etc/passwd"),
    ],
)
def test_what_cannot_be_started_is_an_error_and_leaves_no_child(
    spawn, null, path, directory, number, about
):
    with pytest.raises(OSError) as failed:  # noqa: PT011
        spawn(path, [path], {}, directory, (null, null, null))
    assert (failed.value.errno, failed.value.filename) == (number, about)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_text_file_without_a_first_line_is_no_program(spawn, null, tmp_path):
    script = tmp_path / "script"
    script.write_text("echo hello\n")
    script.chmod(0o755)
    with pytest.raises(OSError, match="Exec format error"):
        spawn(str(script), ["script"], {}, "/", (null, null, null))


@pytest.mark.parametrize(
    "arguments,environment", [(["a\0b"], {}), (["a"], {"A": "b\0"}), (["a"], {"A\0": "b"})]
)
def test_a_nul_character_is_refused(spawn, null, arguments, environment):
    with pytest.raises(OSError, match="NUL"):
        spawn("/bin/true", arguments, environment, "/", (null, null, null))


def test_streams_may_be_any_descriptors(spawn, null):
    """Also those that the child's own streams get, in any order."""
    code = """
import os, sys
sys.path[:0] = eval(sys.argv[1])
from mnedge.hot import spawn
ours, theirs = os.pipe()
extra = os.dup(ours)
os.dup2(theirs, 0)          # the child's stdout is our stdin, and so on
pid = getattr(spawn, sys.argv[2])("/bin/sh", ["sh", "-c", "echo out; echo err >&2"], {}, "/",
                                  (extra, 0, 0))
os.waitpid(pid, 0)
os.set_blocking(ours, False)
assert os.read(ours, 100) == b"out\\nerr\\n"
"""
    path = repr([entry for entry in sys.path if entry])
    done = subprocess.run([sys.executable, "-c", code, path, spawn.__name__], check=False)
    assert done.returncode == 0


def test_only_the_main_thread_may_start_something(spawn, null):
    """A death signal comes when the thread that asked for it ends."""
    found = []

    def try_it():
        try:
            spawn("/bin/true", ["true"], {}, "/", (null, null, null))
        except RuntimeError as error:
            found.append(str(error))

    thread = threading.Thread(target=try_it)  # noqa: TID251
    thread.start()
    thread.join()
    assert found == ["a process may be started by the main thread only"]


def test_the_kernel_kills_it_when_its_owner_dies(spawn):
    code = """
import os, sys
sys.path[:0] = eval(sys.argv[1])
from mnedge.hot import spawn
null = os.open("/dev/null", os.O_RDWR)
pid = getattr(spawn, sys.argv[2])("/bin/sleep", ["sleep", "300"], {}, "/", (null, null, null))
print(pid, flush=True)
sys.stdin.read()
"""
    path = repr([entry for entry in sys.path if entry])
    become_subreaper()  # so that the orphan can be waited for here
    with subprocess.Popen(
        [sys.executable, "-c", code, path, spawn.__name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as owner:
        pid = int(owner.stdout.readline())
        owner.kill()
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


def test_orphans_of_descendants_become_our_children():
    assert become_subreaper()
    line = "sleep 300 & echo $!"
    with subprocess.Popen(["sh", "-c", line], stdout=subprocess.PIPE, text=True) as parent:
        orphan = int(parent.stdout.readline())
    os.kill(orphan, signal.SIGKILL)
    assert os.waitpid(orphan, 0)[0] == orphan


def test_the_plain_subreaper_is_the_same(monkeypatch):
    monkeypatch.setattr("mnedge.hot.native.library", lambda: (None, None, "not there"))
    assert become_subreaper()
    flag = ctypes.c_int()
    ctypes.CDLL(None).prctl(37, ctypes.byref(flag), 0, 0, 0)
    assert flag.value == 1


def test_the_best_that_is_there_is_taken(monkeypatch):
    monkeypatch.setattr("mnedge.hot.native.available", lambda: (True, ""))
    assert best_spawn() is spawn_native
    monkeypatch.setattr("mnedge.hot.native.available", lambda: (False, "no compiler"))
    assert best_spawn() is spawn_plain
    monkeypatch.setattr("mnedge.shipped.python", lambda: None)
    with pytest.raises(SpawnUnavailableError, match="no compiler, and no interpreter came"):
        best_spawn()


@pytest.mark.live
def test_a_frozen_program_spawns_with_the_interpreter_that_it_brought(monkeypatch, tmp_path):
    link = tmp_path / "python3"
    link.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", "/no/python/this/is/mnedge")
    monkeypatch.setattr("mnedge.shipped.python", lambda: str(link))
    null = os.open(os.devnull, os.O_RDWR)
    try:
        pid = spawn_plain("/bin/sh", ["sh", "-c", "exit 7"], {}, "/", (null, null, null))
    finally:
        os.close(null)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def test_a_program_is_found_as_a_shell_finds_it(tmp_path):
    for folder, mode in (("first", 0o644), ("second", 0o755), ("third", 0o755)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tool").touch(mode)
        (tmp_path / folder / "tool").chmod(mode)
    (tmp_path / "zeroth" / "tool").mkdir(parents=True)
    path = ":".join(str(tmp_path / name) for name in ("none", "zeroth", "first", "second", "third"))
    assert find_program("tool", {"PATH": path}, "/") == str(tmp_path / "second" / "tool")
    assert find_program("tool", {"PATH": "third"}, str(tmp_path)) == str(tmp_path / "third/tool")
    assert find_program("./tool", {}, "/") == "./tool"
    assert find_program("sh", {}, "/") in ("/bin/sh", "/usr/bin/sh")
    with pytest.raises(PermissionError):
        find_program("tool", {"PATH": str(tmp_path / "first")}, "/")
    with pytest.raises(FileNotFoundError):
        find_program("tool", {"PATH": ""}, "/")


RACE = """
import os, signal, subprocess, sys
from mnedge.hot.spawn import spawn_native, spawn_plain
spawn = {"native": spawn_native, "plain": spawn_plain}[sys.argv[1]]
signal.signal(signal.SIGINT, lambda *_: None)
burst = "import os, signal, time\\nwhile True:\\n time.sleep(0.0005); os.killpg(%d, signal.SIGINT)"
burst %= os.getpgrp()
killer = subprocess.Popen([sys.executable, "-S", "-c", burst], start_new_session=True)
null = os.open("/dev/null", os.O_RDWR)
struck = 0
for _ in range(int(sys.argv[2])):
    pid = spawn("/bin/true", ["true"], {"PATH": "/bin:/usr/bin"}, "/", (null, null, null))
    struck += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
killer.kill()
print(struck)
"""


def test_a_signal_to_our_group_does_not_strike_a_command_that_is_just_starting(spawn):
    """Ctrl-C in a terminal goes to the whole group; a child leaves it a moment after its birth."""
    which, times = ("native", "300") if spawn is spawn_native else ("plain", "20")
    done = subprocess.run(
        [sys.executable, "-c", RACE, which, times],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    assert done.stdout == "0\n", done.stderr
