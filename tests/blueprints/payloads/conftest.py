"""Runs a payload as the runtime would: staged by the manifest, told by files and environment."""

import gzip
import itertools
import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mnedge.bundle.load import open_bundle

BLUEPRINTS = Path(__file__).resolve().parents[3] / "blueprints"
SANDBOX = "/sandbox/job"
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


@dataclass
class Ran:
    exit_code: int
    stdout: str
    stderr: str
    launches: str

    @property
    def answer(self) -> Any:
        return json.loads(self.stdout)

    @property
    def sent(self) -> list[dict[str, Any]]:
        return self.answer.get("emit_messages", [])

    @property
    def told(self) -> dict[str, Any]:
        return {event["type"]: event["payload"] for event in self.answer.get("events", [])}


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest; of an authoring source, the one it stands for."""
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    if manifest.get("kind") == "WorkflowSource":
        with open_bundle(folder) as bundle:
            return bundle.subject.graph
    return manifest


class Bench:
    """One blueprint and the workspaces in which its programs run."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        self.config = json.loads((folder / "config" / "default.json").read_text())
        self.agents = {agent["node_id"]: agent for agent in self.listed("nodes")}
        self._workspaces = (root / str(number) for number in itertools.count())

    def listed(self, kind: str) -> list[dict[str, Any]]:
        """Return the manifest's `nodes` or `edges`, wherever its generation keeps them."""
        places = (self.manifest, self.manifest.get("flow", {}), self.manifest.get("agents", {}))
        return next(place[kind] for place in places if kind in place)

    def executors(self) -> list[str]:
        return [name for name, agent in self.agents.items() if agent["agent_type"] == "executor"]

    def staged(self, agent_id: str) -> tuple[Path, Path]:
        """Return a fresh workspace with the agent's uploads, and its working directory."""
        config = self.agents[agent_id]["config"]
        one = {"source": config.get("upload_path"), "target": config.get("upload_as")}
        workspace = next(self._workspaces)
        for upload in config.get("upload_paths", [one]):
            target = workspace / (upload["target"] or upload["source"])
            shutil.copytree(self.folder / "payloads" / upload["source"], target)
        return workspace, workspace / config["workdir"].removeprefix(SANDBOX).lstrip("/")

    def run(
        self,
        agent_id: str,
        body: Any,
        *,
        state: Any = None,
        message_type: str = "init",
        stream: dict[str, Any] | None = None,
        raw: bytes | None = None,
        encoding: str = "identity",
        environment: dict[str, str] | None = None,
        parents: Sequence[dict[str, Any]] = (),
        revision: int = 0,
    ) -> Ran:
        """Run the agent's command on one message. `raw`: the body's bytes, if they are not JSON."""
        config = self.agents[agent_id]["config"]
        workspace, workdir = self.staged(agent_id)
        content = json.dumps(body).encode() if raw is None else raw
        message = {"envelope": {"type": message_type}, "body": body, "stream": stream}
        context = {
            "agent_id": agent_id,
            "agent_state": {} if state is None else state,
            "workflow": {"parents": list(parents), "graph_revision": revision},
        }
        files = {
            "INPUT_FILE": json.dumps(body).encode(),
            "MESSAGE_FILE": json.dumps(message).encode(),
            "CONTEXT_FILE": json.dumps(context).encode(),
            "BODY_FILE": gzip.compress(content) if encoding == "gzip" else content,
        }
        told = {"PATH": PATH, "PYTHONDONTWRITEBYTECODE": "1", "MN_AGENT_ID": agent_id}
        for name, written in files.items():
            (workspace / name).write_bytes(written)
            told[f"MN_{name}"] = str(workspace / name)
        told["MN_BODY_CONTENT_ENCODING"] = encoding
        log = workspace / "launches"
        told |= {"MNEDGE_LAUNCH_LOG": str(log), "MNEDGE_LAUNCH": f"job/{agent_id}:1/1"}
        told |= config.get("environment", {}) | (environment or {})
        command = config["command"]
        ran = subprocess.run(
            command if isinstance(command, list) else ["bash", "-lc", command],
            cwd=workdir,
            env=told,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        launches = log.read_text() if log.exists() else ""
        return Ran(ran.returncode, ran.stdout, ran.stderr, launches)

    def module_agent(self, agent_id: str) -> Any:
        """Return a new object of the agent's class, loaded without leaving a compiled file."""
        config = self.agents[agent_id]["config"]
        source = self.folder / "payloads" / config["module_source"]
        return runpy.run_path(str(source))[config["module"].rpartition(":")[2]]()


@pytest.fixture
def bench(tmp_path):
    """Return a function: name of a blueprint → its bench."""
    return lambda name: Bench(BLUEPRINTS / name, tmp_path / name)
