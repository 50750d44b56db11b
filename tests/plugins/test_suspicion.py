"""From what a dead process left behind: who was at work. The stacks are real ones, shortened."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.boot import boot_id
from mnedge.plugins.suspicion import Header, Watch, blamed, collect, stacks

ROOT = Path(__file__).resolve().parents[2]
LOOP = 0x7F01
FOLDERS = {"acme-1.0-0a1b2c3d": "acme", "other-1.0-00000000": "other"}
ACME = "/var/lib/mnedge/plugins/acme-1.0-0a1b2c3d/acme/runner.py"
OURS = "/opt/mnedge/trio/_core/_run.py"
POLLER = "trio/_core/_io_epoll.py"


def written(*threads, loading="", head="Timeout (0:00:03)!\n", the_boot="b"):
    """Return a file: threads are (number, is current, files innermost first)."""
    header = Header(boot=the_boot, thread=LOOP, folders=FOLDERS, loading=loading)
    text = msgspec.json.encode(header).decode() + "\n" + (head if threads else "")
    for number, is_current, files in threads:
        word = "Current thread" if is_current else "Thread"
        text += f"{word} 0x{number:016x} (most recent call first):\n"
        text += "".join(f'  File "{file}", line 3 in work\n' for file in files)
    return text


def test_the_plugin_on_the_loops_stack_held_it_up():
    blame = blamed(written((LOOP, False, [OURS, ACME, OURS]), (0x99, False, [OURS])), "b")
    assert blame.plugin == "acme"
    assert blame.stage == "loop"
    assert blame.is_certain
    assert "acme/runner.py" in blame.trace


def test_nobody_is_blamed_for_a_hang_of_our_own():
    assert blamed(written((LOOP, False, [OURS])), "b") is None
    text = written((LOOP, False, [OURS]), (0x99, False, [ACME]))
    assert blamed(text, "b") is None, "a thread of a plugin is no reason why our loop stands still"


def test_who_keeps_pythons_lock_from_an_idle_loop_held_it_up():
    text = written((LOOP, False, [POLLER, OURS]), (0x99, False, [OURS, ACME]))
    assert blamed(text, "b").plugin == "acme"


def test_a_crash_is_blamed_on_the_thread_that_crashed():
    head = "Fatal Python error: Segmentation fault\n\n"
    text = written((0x99, True, [ACME]), (LOOP, False, [POLLER]), head=head)
    blame = blamed(text, "b")
    assert (blame.plugin, blame.stage) == ("acme", "crash")
    assert "Segmentation fault" in blame.reason
    innocent = written((0x99, True, [OURS]), (0x98, False, [ACME]), head=head)
    assert blamed(innocent, "b") is None


def test_a_hang_or_a_crash_while_loading_names_the_one_that_was_loaded():
    late = blamed(written((LOOP, False, [OURS]), loading="acme"), "b")
    assert (late.plugin, late.stage, late.is_certain) == ("acme", "hook", True)
    fatal = written((LOOP, True, []), loading="acme", head="Fatal Python error: Aborted\n\n")
    assert blamed(fatal, "b").stage == "crash"


def test_an_end_without_a_trace_is_only_a_suspicion_and_none_after_a_power_cut():
    blame = blamed(written(loading="acme"), "b")
    assert (blame.plugin, blame.is_certain) == ("acme", False)
    assert blamed(written(loading="acme"), "another boot") is None


def test_an_end_while_serving_is_nobodys_fault():
    assert blamed(written(), "b") is None


@given(st.text(max_size=300))
def test_any_text_is_read_and_blames_nobody_who_is_not_known(text):
    for made in (text, written() + text, written((LOOP, False, [OURS])) + text):
        blame = blamed(made, "b")
        assert blame is None or blame.plugin in FOLDERS.values()


def test_a_line_that_is_nested_without_end_blames_nobody():
    assert blamed('{"later": ' + "[" * 50_000, "b") is None


def test_stacks_are_read_innermost_first():
    (one, other) = stacks(written((1, True, ["a", "b"]), (2, False, [])))
    assert one.is_current
    assert [file for file, _ in one.frames] == ["a", "b"]
    assert (other.number, other.frames) == (2, ())


def test_the_file_of_somebody_who_lives_is_left_alone(tmp_path):
    path = tmp_path / "suspect-1.txt"
    path.write_text(written((LOOP, False, [ACME]), the_boot=boot_id()))
    with open(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert collect(tmp_path) == []
        assert path.exists()
    (blame,) = collect(tmp_path)
    assert blame.plugin == "acme"
    assert not path.exists()
    assert collect(tmp_path) == []
    assert collect(tmp_path / "nowhere") == []


def test_a_watch_that_follows_nobody_writes_nothing(tmp_path):
    watch = Watch(tmp_path)
    watch.arm(1.0)
    watch.moved()
    watch.calm()
    watch.close()
    assert [*tmp_path.iterdir()] == []


PROCESS = """
import os, sys, time
from pathlib import Path
from mnedge.plugins.suspicion import Watch
depot = Path(sys.argv[1])
sys.path.append(str(depot / "acme-1.0-0a1b2c3d"))
watch = Watch(depot)
watch.follow("acme-1.0-0a1b2c3d", "acme")
import acme
"""


@pytest.mark.live
@pytest.mark.parametrize(
    "then, stage, code",
    [
        ("watch.arm(0.2); acme.hang(1)", "loop", 0),
        ("watch.arm(0.2); acme.keep_the_lock(1)", "loop", 0),
        ("acme.crash()", "crash", -11),
        ("with watch.loading('acme', 0.6): acme.hang(60)", "hook", 1),
        ("with watch.loading('acme', 0.6): os._exit(0)", "crash", 0),
        ("with watch.loading('acme'): sys.exit(5)", "crash", 5),
        ("with watch.loading('acme'): pass\nsys.exit(0)", None, 0),
        ("watch.arm(0.2); acme.hang(1); watch.moved(); watch.close()", None, 0),
        ("acme.hang(0); os.kill(os.getpid(), 9)", None, -9),
    ],
)
def test_a_real_process_leaves_the_right_trace(tmp_path, then, stage, code):
    folder = tmp_path / "acme-1.0-0a1b2c3d"
    folder.mkdir()
    (folder / "acme.py").write_text(
        "import ctypes, select\n"
        "def hang(s): select.select([], [], [], s)\n"
        "def keep_the_lock(s): ctypes.PyDLL(None).sleep(s)\n"
        "def crash(): ctypes.string_at(0)\n"
    )
    end = "" if stage is None else "\nos._exit(0)"
    done = subprocess.run(
        [sys.executable, "-c", PROCESS + then + end, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == code, done.stderr
    assert [(blame.plugin, blame.stage) for blame in collect(tmp_path)] == (
        [] if stage is None else [("acme", stage)]
    )
    assert not [*tmp_path.glob("suspect-*")]
