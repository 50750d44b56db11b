"""Plugins meet a process of their own first: whatever they do there, it is told, and it is over."""

import os
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from mnedge.plugins import probe as probes
from mnedge.plugins.asking import Request
from mnedge.plugins.depot import Point
from mnedge.plugins.probe import MARK, Probing, probe
from tests.plugins.wheels import RUNNER

pytestmark = pytest.mark.live
ROOT = Path(__file__).resolve().parents[2]
ANSWER = "import os, sys\ndef say(what): os.write(int(sys.argv[-1]), what + b'\\n')\nsay("
HOOK = "from mnedge.hookspecs import hookimpl\n@hookimpl\ndef runners():\n    "


@pytest.fixture
def met(tmp_path, monkeypatch):
    """Return a function that probes a module with this text."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'plugins'}")

    def met(text, limit_s=5.0):
        (tmp_path / "acme_runner.py").write_text(text)
        request = Request(
            label="acme 1.0",
            folders=(str(tmp_path),),
            points=(Point("acme", "acme_runner"),),
            scratch="",
            limit_s=limit_s,
        )
        return probe(request, Probing(program=(sys.executable, "-m", "mnedge"), limit_s=limit_s))

    return met


def test_a_good_plugin_says_what_it_brings_whatever_it_prints(met):
    noise = (
        'import os\nfor _ in range(3000): print("{}"); os.write(2, b"\\xff{\\"brings\\": 1}\\n")\n'
    )
    got = met(noise + RUNNER)
    assert got.trouble is None
    assert got.brings["runners"] == ("acme",)


@pytest.mark.parametrize(
    "text, stage, said",
    [
        ("raise RuntimeError('boom')", "import", "RuntimeError: boom"),
        ("raise BaseException('boo')", "import", "BaseException: boo"),
        ("import sys; sys.exit(0)", "import", "SystemExit"),
        ("raise KeyboardInterrupt", "import", "interrupts"),
        ("import os; os._exit(0)", "probe", "ends the process, with exit code 0"),
        ("import ctypes; ctypes.string_at(0)", "probe", "crashes the process: SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "probe", "SIGKILL"),
        ("x = []\nwhile True: x.append(bytearray(1 << 26))", "import", "MemoryError"),
        ("def f(): f()\nf()", "import", "RecursionError"),
        (HOOK + "raise ValueError('no')", "hook", "its hook runners failed: ValueError: no"),
        (HOOK + "return [42]", "hook", "whose name is None"),
        ("this is no Python", "import", "SyntaxError"),
        (ANSWER + "b'{}{')", "probe", "it answers in the place of the probe"),
        (ANSWER + "b'{\"x\":' + b'[' * 9000)", "probe", "it answers in the place of the probe"),
    ],
)
def test_what_goes_wrong_is_told(met, text, stage, said):
    trouble = met(text).trouble
    assert trouble.stage == stage
    assert said in trouble.message


@pytest.mark.parametrize(
    "text",
    [
        "import select; select.select([], [], [])",
        HOOK + "while True: pass",
        "import ctypes; ctypes.PyDLL(None).sleep(60)",
        "import signal, select\nfor n in range(1, 32):\n    try: signal.signal(n, signal.SIG_IGN)\n"
        "    except OSError: pass\nselect.select([], [], [])",
        "import os, select\nif os.fork(): select.select([], [], [])\nselect.select([], [], [])",
    ],
)
def test_what_hangs_is_ended_and_told_where(met, text):
    got = met(text, limit_s=1.0)
    assert got.trouble.stage == "probe"
    assert "it hangs: it did not come back within 1 s" in got.trouble.message
    assert "acme_runner.py" in got.trouble.trace
    assert got.took_s < 10


def test_one_that_eats_memory_without_a_limit_is_ended(met, monkeypatch):
    monkeypatch.setattr(probes, "most_bytes", lambda: 150 << 20)
    text = (
        "import resource\n"
        "most = resource.getrlimit(resource.RLIMIT_DATA)[1]\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (most, most))\n"
        "kept = []\n"
        "while len(kept) < 400: kept.append(b'x' * (1 << 20))\n"
        "import select; select.select([], [], [])\n"
    )
    assert met(text).trouble.message == "it takes more than 150 MiB of memory"


def test_what_it_leaves_running_is_ended(met, tmp_path):
    left = tmp_path / "pid"
    text = (
        "import os, select\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        f"    open({str(left)!r}, 'w').write(str(os.getpid()))\n"
        "    os.close(1); os.close(2)\n"
        "    select.select([], [], [], 60)\n"
        "    os._exit(0)\n"
        f"while not os.path.exists({str(left)!r}) or not open({str(left)!r}).read(): pass\n"
    )
    assert met(text + RUNNER).trouble is None
    with suppress(psutil.NoSuchProcess):
        psutil.Process(int(left.read_text())).wait(5)  # it may take a moment to die
    assert MARK not in os.environ


def test_a_program_that_does_not_start_is_no_verdict(tmp_path):
    request = Request(label="x", folders=(), points=(), scratch="", limit_s=1.0)
    with pytest.raises(OSError, match="nowhere"):
        probe(request, Probing(program=(str(tmp_path / "nowhere"),)))
    trouble = probe(request, Probing(program=("false",))).trouble
    assert trouble.message == "the probe process ended with 1 before it began"
