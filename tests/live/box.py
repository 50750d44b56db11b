"""A machine of its own, on which the whole program runs as processes."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

MNEDGE = [sys.executable, "-m", "mnedge"]
WITHIN_S = 30.0
ROOT = Path(__file__).resolve().parents[2]


class Box:
    """A machine of its own: home, data directory, run folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.started: list[subprocess.Popen[str]] = []
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "MN_HOME": str(self.home),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}",
            "PYTHONWARNINGS": "error",
        }

    def call(
        self, *words: str, code: int | None = 0, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a verb to its end."""
        done = subprocess.run(
            [*MNEDGE, *words],
            capture_output=True,
            text=True,
            timeout=WITHIN_S * 2,
            env=self.environ | environ,
            cwd=self.folder,
        )
        assert "Traceback" not in done.stdout + done.stderr
        if code is not None:
            assert done.returncode == code, done.stdout + done.stderr
        return done

    def json(self, *words: str, code: int | None = 0) -> object:
        """Run a verb and read what a program gets."""
        done = self.call(*words, "--json", code=code)
        assert done.stderr == ""
        return json.loads(done.stdout)

    def start(self, *words: str, **environ: str) -> subprocess.Popen[str]:
        """Start a verb in a process group of its own."""
        process = subprocess.Popen(
            [*MNEDGE, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environ | environ,
            cwd=self.folder,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def close(self) -> None:
        """End what still runs."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=WITHIN_S)

    def status(self) -> str:
        """Return the status of the newest job."""
        return self.call("job", "status", code=None).stdout.strip()

    def runs(self) -> list[Path]:
        """Return the run folders."""
        root = self.home / "runs"
        return sorted(root.iterdir()) if root.is_dir() else []

    def bundle(self, command: str, name: str = "mine", **config: object) -> Path:
        """Make a bundle: router → worker with this command → collector."""
        folder = self.folder / name
        (folder / "payloads").mkdir(parents=True)
        (folder / "config").mkdir()
        (folder / "config" / "default.json").write_text("{}")
        worker = {
            "runner_module": "MirrorNeuron.Runner.HostLocal",
            "command": command,
            "output_message_type": "done",
            **config,
        }
        nodes = [
            {"node_id": "start", "agent_type": "router", "config": {"emit_type": "go"}},
            {"node_id": "worker", "agent_type": "executor", "config": worker},
            {"node_id": "end", "agent_type": "aggregator", "config": {"complete_on_message": True}},
        ]
        edges = [
            {"edge_id": "a", "from_node": "start", "to_node": "worker", "message_type": "go"},
            {"edge_id": "b", "from_node": "worker", "to_node": "end", "message_type": "done"},
        ]
        manifest = {
            "manifest_version": "1.0",
            "graph_id": name,
            "job_name": name,
            "nodes": nodes,
            "edges": edges,
            "entrypoints": ["start"],
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder


def until(reached: Callable[[], object], within_s: float = WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while not reached():
        assert time.monotonic() < deadline, "not reached"
        select.select([], [], [], 0.02)
