"""Step definitions: Python modules that export `STEP`, loaded without running them in here.

Source: bundle format 2.6.3, rule S-09.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from itertools import takewhile
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from time import monotonic
from typing import IO

from msgspec import Struct, field

from mnedge import shipped
from mnedge.bundle.files import Files
from mnedge.bundle.source.stand_in import laid_out
from mnedge.bundle.subject import JsonObject

HOST = Path(__file__).with_name("step_host.py")
LIMIT_S = 10.0
MOST_BYTES = 8 << 20
_INTERPRETERS = ("python3", "python3.11", "python3.12", "python3.13", "python")
OLDEST = (3, 11)
"""Payloads may expect this version of Python."""
_SEEN_BY_MODULES = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "TMPDIR")
_STARTS = 16


class Loaded(Struct, kw_only=True):
    """What became of each definition; a module is in one of the three."""

    steps: dict[str, JsonObject] = field(default_factory=dict)
    """Module → its step in the serialized form, not checked."""
    errors: dict[str, str] = field(default_factory=dict)
    unchecked: dict[str, str] = field(default_factory=dict)
    """Module → why it was not looked at."""


def load(
    modules: Sequence[str], files: Files, *, run_code: bool = True, limit_s: float = LIMIT_S
) -> Loaded:
    """Return every definition that can be had; each module has `limit_s` to load.

    Its code runs in another process, with this user's rights: `run_code=False` looks no further
    than whether the file is there.
    """
    loaded = Loaded()
    wanted = []
    for module in dict.fromkeys(modules):
        name = file_of(module, files)
        if name is None:
            loaded.errors[module] = "no such module in payloads/ or in the bundle"
        elif not run_code:
            loaded.unchecked[module] = "its code was not run"
        elif files.read(name) is None:
            loaded.unchecked[module] = "its content is not at hand"
        else:
            wanted.append(module)
    if not wanted:
        return loaded
    python = interpreter()
    if python is None:
        loaded.unchecked |= dict.fromkeys(wanted, "no Python 3 is on PATH")
        return loaded
    with _on_disk(files) as root, tempfile.TemporaryDirectory(prefix="mnedge-steps-") as scratch:
        _load(wanted, root, python, Path(scratch), limit_s, loaded)
    return loaded


def file_of(module: str, files: Files) -> str | None:
    """Return the file of the bundle that holds the module, or None."""
    path = module.replace(".", "/")
    for name in (
        f"payloads/{path}.py",
        f"payloads/{path}/__init__.py",
        f"{path}.py",
        f"{path}/__init__.py",
    ):
        if files.is_file(name):
            return name
    return None


def interpreter() -> str | None:
    """Return the Python that payloads are started with; None if there is none.

    The one that came with a frozen mnedge stands in where the machine has none that is new enough.
    """
    brought = shipped.bundled_python()
    for name in _INTERPRETERS:
        found = shutil.which(name)
        if found is not None and (brought is None or _is_new_enough(found)):
            return found
    return shipped.python()


@cache
def _is_new_enough(python: str) -> bool:
    ask = [python, "-I", "-S", "-c", f"import sys; sys.exit(sys.version_info < {OLDEST})"]
    with suppress(OSError, subprocess.TimeoutExpired):
        return (
            subprocess.run(ask, capture_output=True, timeout=LIMIT_S, check=False).returncode == 0
        )
    return False


def _load(
    modules: list[str], root: Path, python: str, scratch: Path, limit_s: float, loaded: Loaded
) -> None:
    """Ask for all in one process; one that hangs costs its own time only, the next go on."""
    stand_in = laid_out(scratch / "sdk")
    waiting = modules
    for _ in range(_STARTS):
        answers, ended = _answers(waiting, root, python, stand_in, limit_s)
        for module, answer in zip(waiting, answers, strict=False):
            if isinstance(answer.get("step"), dict):
                loaded.steps[module] = answer["step"]
            else:
                loaded.errors[module] = str(answer.get("error", "it gave no answer"))
        waiting = waiting[len(answers) :]
        if not waiting:
            return
        loaded.errors[waiting[0]] = ended
        waiting = waiting[1:]
        if not waiting:
            return
    loaded.errors |= dict.fromkeys(waiting, "too many definitions before it ended the interpreter")


def _answers(
    modules: list[str], root: Path, python: str, stand_in: Path, limit_s: float
) -> tuple[list[JsonObject], str]:
    """Return the answers that came, in order, and what ended the process if some did not."""
    environ = {name: os.environ[name] for name in _SEEN_BY_MODULES if name in os.environ}
    command = [python, "-B", "-c", HOST.read_text(encoding="utf-8"), str(root), str(stand_in)]
    with tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(
                [*command, *modules],
                cwd=root,
                env={**environ, "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=err,
                start_new_session=True,
            )
        except OSError as error:
            return [], f"{python} cannot be started: {error.strerror}"
        try:
            lines, in_time = _lines(process.stdout, len(modules), limit_s)
        finally:
            code = _killed(process)
        answers = [answer for answer in takewhile(bool, map(_answer, lines)) if answer]
        if not in_time:
            return answers, f"it did not load within {limit_s:g} s"
        err.seek(0)
        said = err.read(MOST_BYTES).decode("utf-8", "replace").strip().splitlines()
        last = f": {said[-1][:300]}" if said else ""
        return answers, f"the interpreter ended with code {code}{last}"


def _lines(out: IO[bytes] | None, wanted: int, limit_s: float) -> tuple[list[bytes], bool]:
    """Return the lines that came, each at most `limit_s` after the one before, and if all did."""
    if out is None:
        return [], True
    received = b""
    due_at = monotonic() + limit_s
    with DefaultSelector() as selector:
        selector.register(out, EVENT_READ)
        while (count := received.count(b"\n")) < wanted and len(received) < MOST_BYTES:
            if not selector.select(max(due_at - monotonic(), 0)):
                return received.split(b"\n")[:count], False
            piece = os.read(out.fileno(), 1 << 16)
            if not piece:
                break
            received += piece
            if b"\n" in piece:
                due_at = monotonic() + limit_s
    return received.split(b"\n")[:-1][:wanted], True


def _answer(line: bytes) -> JsonObject | None:
    try:
        answer = json.loads(line)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _killed(process: subprocess.Popen[bytes]) -> int:
    """End what is left of it and of what it started; return its exit code if it had ended."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=0.05)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    code = process.wait()
    if process.stdout is not None:
        process.stdout.close()
    return code


@contextmanager
def _on_disk(files: Files) -> Iterator[Path]:
    """Have the bundle's Python files in a folder; those of a folder are where they are."""
    root = getattr(files, "root", None)
    if isinstance(root, Path):
        yield root.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="mnedge-bundle-") as folder:
        for name in files.names():
            content = files.read(name) if name.endswith(".py") else None
            if content is not None:
                place = Path(folder, name)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
        yield Path(folder).resolve()
