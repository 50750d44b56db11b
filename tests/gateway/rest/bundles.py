"""What programs send: a small manifest, payloads, archives; and looks at what came of it."""

import io
import zipfile
from typing import Any

import httpx
import trio

FLOW = {
    "manifest_version": "1.0",
    "graph_id": "sent",
    "job_name": "sent",
    "nodes": [
        {"node_id": "start", "agent_type": "router", "config": {"emit_type": "go"}},
        {"node_id": "end", "agent_type": "aggregator", "config": {"complete_on_message": True}},
    ],
    "edges": [{"edge_id": "a", "from_node": "start", "to_node": "end", "message_type": "go"}],
    "entrypoints": ["start"],
    "initial_inputs": {"start": [{"n": 1}]},
}


def flow(**changed: Any) -> dict[str, Any]:
    """Return a manifest of a router and an aggregator: it completes by itself."""
    return {**FLOW, **changed}


def working(command: str = "true", **config: Any) -> dict[str, Any]:
    """Return a manifest with a worker between the two."""
    worker = {
        "runner_module": "MirrorNeuron.Runner.HostLocal",
        "command": command,
        "output_message_type": "done",
        **config,
    }
    start, end = FLOW["nodes"]  # type: ignore[misc]
    return flow(
        nodes=[start, {"node_id": "worker", "agent_type": "executor", "config": worker}, end],
        edges=[
            {"edge_id": "a", "from_node": "start", "to_node": "worker", "message_type": "go"},
            {"edge_id": "b", "from_node": "worker", "to_node": "end", "message_type": "done"},
        ],
    )


def gated() -> dict[str, Any]:
    """Return a manifest whose job waits for a person."""
    start, end = FLOW["nodes"]  # type: ignore[misc]
    gate = {"approval_mode": "approval_required", "prompt": "Go?", "emit_type": "went"}
    return flow(
        nodes=[start, {"node_id": "gate", "agent_type": "router", "config": gate}, end],
        edges=[
            {"edge_id": "a", "from_node": "start", "to_node": "gate", "message_type": "go"},
            {"edge_id": "b", "from_node": "gate", "to_node": "end", "message_type": "went"},
        ],
    )


def archive(files: dict[str, bytes]) -> bytes:
    """Return a zip of these files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        for name, content in files.items():
            made.writestr(name, content)
    return packed.getvalue()


async def submitted(api: httpx.AsyncClient, body: Any = None) -> str:
    """Submit a job; return its id."""
    answer = await api.post("/api/v1/jobs", json=flow() if body is None else body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["job_id"])


async def over(api: httpx.AsyncClient, job_id: str, *, within_s: float = 60) -> dict[str, Any]:
    """Wait until the job is over; return it."""
    with trio.fail_after(within_s):
        while True:
            found = (await api.get(f"/api/v1/jobs/{job_id}")).json()
            if found["job"]["status"] in ("completed", "failed", "cancelled"):
                return found
            await trio.sleep(0.05)


async def reached(api: httpx.AsyncClient, job_id: str, status: str) -> None:
    """Wait until the job has this status."""
    with trio.fail_after(60):
        while (await api.get(f"/api/v1/jobs/{job_id}")).json()["job"]["status"] != status:
            await trio.sleep(0.05)
