"""The published client's own gRPC library against our port."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import trio
from mn_sdk.proto import (
    cluster_pb2,
    cluster_pb2_grpc,
    job_pb2,
    job_pb2_grpc,
    job_v2_pb2,
    job_v2_pb2_grpc,
    observability_pb2,
    observability_pb2_grpc,
)

from mnedge.gateway.grpc.transport import REPLY_BYTES
from tests.gateway.grpc.wire import MANIFEST, Wire
from tests.live.grpc_server import a_server

pytestmark = pytest.mark.live


class Client:
    """What the client makes its calls with."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.v1 = job_pb2_grpc.JobServiceStub(channel)
        self.v2 = job_v2_pb2_grpc.JobServiceStub(channel)
        self.cluster = cluster_pb2_grpc.ClusterServiceStub(channel)
        self.events = observability_pb2_grpc.ObservabilityServiceStub(channel)


@asynccontextmanager
async def a_client(tmp_path: Path, **more: Any) -> AsyncIterator[tuple[Client, Wire]]:
    async with a_server(tmp_path, **more) as (wire, address):
        with grpc.insecure_channel(address) as channel:
            yield Client(channel), wire


async def asked(stub: Any, request: Any, timeout_s: float | None = 10.0) -> Any:
    return await trio.to_thread.run_sync(lambda: stub(request, timeout=timeout_s))


async def test_a_job_is_made_started_followed_and_read(tmp_path):
    async with a_client(tmp_path) as (client, _):
        summary = await asked(
            client.cluster.GetSystemSummary, cluster_pb2.GetSystemSummaryRequest(version=1)
        )
        (node,) = json.loads(summary.summary_json)["nodes"]
        assert node["self?"] is True
        made = await asked(
            client.v2.CreateJob,
            job_v2_pb2.CreateJobRequest(
                manifest_json=json.dumps(MANIFEST), payloads={"a/b.txt": b"hi"}, job_id="job_x-1"
            ),
        )
        assert json.loads(made.result_json)["job_id"] == "job_x-1"
        run = await asked(
            client.v2.StartRun, job_v2_pb2.StartRunRequest(job_id="job_x-1", run_id="run-1")
        )
        assert json.loads(run.result_json)["run_id"] == "run-1"

        def followed() -> list[Any]:
            request = observability_pb2.StreamEventsRequest(job_id="run-1", follow=True)
            return [json.loads(one.event_json) for one in client.events.StreamEvents(request)]

        events = await trio.to_thread.run_sync(followed)
        types = [event["type"] for event in events]
        assert types[0] == "job_pending"
        assert "job_completed" in types
        assert len({event["message_id"] for event in events}) == len(events)
        found = await asked(client.v1.GetJob, job_pb2.GetJobRequest(job_id="run-1"))
        assert json.loads(found.job_json)["job"]["status"] == "completed"


async def test_an_unknown_job_is_not_found_in_words(tmp_path):
    async with a_client(tmp_path) as (client, _):
        with pytest.raises(grpc.RpcError) as raised:
            await asked(client.v1.GetJob, job_pb2.GetJobRequest(job_id="nö%pe"))
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND
        assert "no job is called 'nö%pe'" in raised.value.details()


async def test_what_is_not_offered_says_so_by_name(tmp_path):
    async with a_client(tmp_path) as (client, _):
        with pytest.raises(grpc.RpcError) as raised:
            await asked(client.v1.DeployJob, job_pb2.DeployJobRequest())
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert raised.value.details().startswith("DeployJob is not offered by this node")
        unknown = client.channel.unary_unary("/mirrorneuron.job.v1.JobService/Dance")
        with pytest.raises(grpc.RpcError) as raised:
            await asked(unknown, b"")
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_large_bundle_is_taken_and_one_too_large_is_refused(tmp_path):
    async with a_client(tmp_path, relay={}) as (client, _):
        request = job_v2_pb2.CreateJobRequest(
            manifest_json=json.dumps(MANIFEST), payloads={"big.bin": b"x" * (6 << 20)}
        )
        assert json.loads((await asked(client.v2.CreateJob, request)).result_json)["job_id"]
        too_large = job_v2_pb2.CreateJobRequest(payloads={"big.bin": b"x" * (65 << 20)})
        with pytest.raises(grpc.RpcError) as raised:
            await asked(client.v2.CreateJob, too_large)
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        # and the connection is still good
        await asked(client.cluster.GetResource, cluster_pb2.GetResourceRequest())


async def test_a_compressed_request_is_refused(tmp_path):
    async with a_server(tmp_path) as (_, address):
        with grpc.insecure_channel(address, compression=grpc.Compression.Gzip) as channel:
            stub = cluster_pb2_grpc.ClusterServiceStub(channel)
            request = cluster_pb2.SetResourceRequest(resource_json='{"cpu": 50}' + " " * 1000)
            with pytest.raises(grpc.RpcError) as raised:
                await asked(stub.SetResource, request)
            assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_many_calls_at_once_on_one_connection(tmp_path):
    async with a_client(tmp_path) as (client, _):
        futures = [
            client.cluster.GetSystemSummary.future(cluster_pb2.GetSystemSummaryRequest())
            for _ in range(200)
        ]
        found = await trio.to_thread.run_sync(lambda: [one.result(timeout=20) for one in futures])
        assert all(json.loads(one.summary_json)["nodes"] for one in found)
        assert REPLY_BYTES == 4 << 20
