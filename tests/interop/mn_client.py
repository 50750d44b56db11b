"""The published client, as its users have it, in a home of its own and with no Docker."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("bash", "sh", "env", "cat", "python3")
WITHIN_S = 60.0


class Client:
    """`mn`, unmodified: `home` is its HOME, `mn_home` its MN_HOME."""

    def __init__(self, folder: Path, mn_home: Path) -> None:
        self.folder = folder
        self.mn_home = mn_home
        mn_home.mkdir(parents=True, exist_ok=True)
        tools = folder / "tools"
        tools.mkdir(parents=True)
        for name in TOOLS:
            (tools / name).symlink_to(_which(name))
        self.environ = {
            "PATH": str(tools),
            "HOME": str(folder),
            "MN_HOME": str(mn_home),
            "MN_DISABLE_UPDATE_CHECK": "1",
            "MN_RUN_DISABLE_LIVE_SCREEN": "1",
            "MN_RUN_BACKGROUND_EVENT_RELAY": "0",
            "MN_CLI_OUTPUT": "plain",
            "NO_COLOR": "1",
            "COLUMNS": "200",
            "MN_BLUEPRINT_SOURCE": "local",
            "MN_BLUEPRINT_LOCAL": str(ROOT / "blueprints"),
        }

    def call(
        self, *words: str, code: int | None = 0, within_s: float = WITHIN_S, **environ: str
    ) -> str:
        """Run `mn` to its end; return what it printed."""
        done = subprocess.run(
            [_mn(), *words],
            capture_output=True,
            text=True,
            timeout=within_s,
            env=self.environ | environ,
            cwd=self.folder,
        )
        told = done.stdout + done.stderr
        assert code is None or done.returncode == code, f"{words}: {done.returncode}\n{told}"
        return told

    def json(self, *words: str, **environ: str) -> Any:
        """Run a verb that prints JSON; return it."""
        return json.loads(self.call(*words, **environ))

    def start(self, *words: str, **environ: str) -> subprocess.Popen[str]:
        """Start `mn`; the caller waits for its end."""
        return subprocess.Popen(
            [_mn(), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environ | environ,
            cwd=self.folder,
        )


def prepared(folder: Path, blueprints: list[Path]) -> list[dict[str, Any]]:
    """Return what the client would send for each of these bundles."""
    client = Client(folder, folder / "mn")
    script = Path(__file__).with_name("mn_prepare.py")
    done = subprocess.run(
        [sys.executable, str(script), *map(str, blueprints)],
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        env=client.environ,
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return list(json.loads(done.stdout))


def until(reached: Callable[[], object], within_s: float = WITHIN_S) -> Any:
    """Wait, and return what was reached."""
    deadline = time.monotonic() + within_s
    while not (found := reached()):
        assert time.monotonic() < deadline, "not reached"
        select.select([], [], [], 0.05)
    return found


def _mn() -> str:
    return str(Path(sys.executable).parent / "mn")


def _which(name: str) -> str:
    for folder in os.environ["PATH"].split(os.pathsep):
        if os.access(found := f"{folder}/{name}", os.X_OK):
            return found
    raise AssertionError(f"this machine has no {name}")
