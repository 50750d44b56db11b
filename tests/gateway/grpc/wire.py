"""Calls to the services as the published client makes them: its own message classes, our wire."""

import json
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from google.protobuf import message_factory
from mn_sdk.proto import cluster_pb2, job_pb2, job_v2_pb2, observability_pb2, operations_pb2

from mnedge.gateway.backend import Backend
from mnedge.gateway.grpc.app import application
from mnedge.identity.audit import AuditLog
from mnedge.model.access import Principal, Scope
from mnedge.model.states import JobStatus
from mnedge.runtime import jobs
from tests.gateway.backends import a_backend
from tests.runtime.rig import Rig

ADA = Principal(name="user:ada", scope=Scope.ADMIN, kind="token")
V1, V2 = "mirrorneuron.job.v1.JobService", "mirrorneuron.job.v2.JobService"
CLUSTER = "mirrorneuron.cluster.v1.ClusterService"
OBSERVABILITY = "mirrorneuron.observability.v1.ObservabilityService"
OPERATIONS = "mirrorneuron.operations.v1.OperationsService"
_SERVICES = {
    service.full_name: service
    for module in (job_pb2, job_v2_pb2, cluster_pb2, observability_pb2, operations_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
}
MANIFEST = {
    "manifest_version": "1.0",
    "graph_id": "under_test",
    "job_name": "under-test",
    "nodes": [
        {"node_id": "intake", "agent_type": "router", "config": {"emit_type": "go"}},
        {
            "node_id": "worker",
            "agent_type": "executor",
            "config": {
                "runner_module": "MirrorNeuron.Runner.HostLocal",
                "command": ["true"],
                "output_message_type": "done",
            },
        },
        {"node_id": "end", "agent_type": "aggregator", "config": {"complete_on_message": True}},
    ],
    "edges": [
        {"edge_id": "a", "from_node": "intake", "to_node": "worker", "message_type": "go"},
        {"edge_id": "b", "from_node": "worker", "to_node": "end", "message_type": "done"},
    ],
    "entrypoints": ["intake"],
}


class RefusedError(Exception):
    """A call ended with another status than OK."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


class Answer:
    """What came back, as the server sent it."""

    def __init__(self) -> None:
        self.http_status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.trailers: dict[bytes, bytes] = {}

    async def send(self, event: dict[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        match event["type"]:
            case "http.response.start":
                self.http_status, self.headers = event["status"], dict(event["headers"])
            case "http.response.body":
                self.body += event.get("body", b"")
            case "http.response.trailers":
                self.trailers = dict(event["headers"])

    def messages(self) -> list[bytes]:
        found, at = [], 0
        while at < len(self.body):
            compressed, size_bytes = struct.unpack(">BI", self.body[at : at + 5])
            assert not compressed
            found.append(self.body[at + 5 : at + 5 + size_bytes])
            at += 5 + size_bytes
        assert at == len(self.body)
        return found


class Wire:
    """A client without a socket."""

    def __init__(
        self, backend: Backend, rig: Rig, audit: AuditLog, principal: Principal | None
    ) -> None:
        self.app = application(backend)
        self.backend = backend
        self.rig = rig
        self.audit = audit
        self.principal = principal
        self.refusal: Exception | None = None

    async def ask(
        self,
        path: str,
        body: list[bytes],
        *,
        on_event: Callable[[dict[str, Any]], None] | None = None,
        leave: trio.Event | None = None,
        **headers: str,
    ) -> Answer:
        """Send these chunks; return what came."""
        given = {"content-type": "application/grpc", "te": "trailers"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        scope = {
            "type": "http",
            "http_version": "2",
            "method": "POST",
            "path": path,
            "headers": [(k.encode(), v.encode()) for k, v in given.items()],
            "state": {
                "principal": self.principal,
                "refusal": self.refusal,
                "audit": self.audit,
                "request_id": "req_1",
            },
        }
        waiting = [
            {"type": "http.request", "body": chunk, "more_body": at < len(body) - 1}
            for at, chunk in enumerate(body)
        ]

        async def receive() -> dict[str, Any]:
            await trio.lowlevel.checkpoint()
            if waiting:
                return waiting.pop(0)
            if leave is None:
                await trio.sleep_forever()
            else:
                await leave.wait()
            return {"type": "http.disconnect"}

        answer = Answer()

        async def send(event: dict[str, Any]) -> None:
            if on_event is not None:
                on_event(event)
            await answer.send(event)

        await self.app(scope, receive, send)
        return answer

    async def call(
        self, service: str, method: str, *, headers: dict[str, str] | None = None, **fields: Any
    ) -> list[Any]:
        """Make a call; return the messages that came.

        Raises: RefusedError.
        """
        kind = _SERVICES[service].methods_by_name[method]
        request = message_factory.GetMessageClass(kind.input_type)(**fields)
        content = request.SerializeToString()
        body = struct.pack(">BI", 0, len(content)) + content
        answer = await self.ask(f"/{service}/{method}", [body], **(headers or {}))
        assert answer.http_status == 200
        assert answer.headers[b"content-type"] == b"application/grpc"
        status = int(answer.trailers[b"grpc-status"])
        if status:
            raise RefusedError(status, answer.trailers[b"grpc-message"].decode())
        response = message_factory.GetMessageClass(kind.output_type)
        return [response.FromString(one) for one in answer.messages()]

    async def unary(self, service: str, method: str, **fields: Any) -> Any:
        """Make a call that is answered with one message."""
        (found,) = await self.call(service, method, **fields)
        return found

    async def v2(self, method: str, **fields: Any) -> Any:
        """Make a call of `job.v2`; return its JSON."""
        return json.loads((await self.unary(V2, method, version=2, **fields)).result_json)

    async def job(self, job_id: str) -> Any:
        """Return a job as `job.v1` shows it."""
        return json.loads((await self.unary(V1, "GetJob", job_id=job_id, version=1)).job_json)

    async def cluster(self, method: str, **fields: Any) -> Any:
        """Make a call of the cluster's service; return its JSON."""
        found = await self.unary(CLUSTER, method, version=1, **fields)
        for name in ("result_json", "resource_json", "summary_json"):
            if hasattr(found, name):
                return json.loads(getattr(found, name))
        raise AssertionError(found)

    async def events(self, job_id: str, **fields: Any) -> list[Any]:
        """Return a job's events."""
        found = await self.call(OBSERVABILITY, "StreamEvents", job_id=job_id, **fields)
        return [json.loads(one.event_json) for one in found]

    async def submit(self, manifest: Any = MANIFEST) -> str:
        """Submit a job; return its id."""
        found = await self.unary(
            V1, "SubmitJob", manifest_json=json.dumps(manifest), payloads={}, version=1
        )
        assert found.status == "pending"
        return str(found.job_id)

    async def over(self, job_id: str, status: JobStatus = JobStatus.COMPLETED) -> Any:
        """Wait for a job to have a status; return its record."""
        with trio.fail_after(10):
            async for _ in self.backend.store.table.watch(f"job/{job_id}"):
                record = await jobs.read_job(self.backend.store, job_id)
                if record.status is status:
                    return record
        raise AssertionError(job_id)

    async def audited(self) -> list[tuple[str, str, str, str]]:
        """Return what the audit record holds."""
        return [(one.actor, one.action, one.object, one.result) for one in await self.audit.page()]


@asynccontextmanager
async def a_wire(
    tmp_path: Path, principal: Principal | None = ADA, **more: Any
) -> AsyncIterator[Wire]:
    """Have a node and a client of it."""
    async with a_backend(tmp_path, **more) as (backend, rig):
        yield Wire(backend, rig, backend.audit, principal)
