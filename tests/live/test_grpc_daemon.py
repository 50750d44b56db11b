"""The whole program behind its gRPC address: who may call, and what a kill leaves."""

import json
import os
import signal

import grpc
import pytest
from mn_sdk.proto import (
    cluster_pb2,
    cluster_pb2_grpc,
    job_pb2,
    job_pb2_grpc,
    observability_pb2,
    observability_pb2_grpc,
)

from tests.gateway.grpc.wire import MANIFEST
from tests.live.box import WITHIN_S, Box, until

pytestmark = pytest.mark.live


@pytest.fixture
def box(tmp_path):
    box = Box(tmp_path)
    yield box
    box.close()


class Daemon:
    """A daemon with a gRPC address, and what its client's files say of it."""

    def __init__(self, box: Box) -> None:
        self.box = box
        found = box.home / "runtime-endpoints.json"
        found.unlink(missing_ok=True)
        self.process = box.start("daemon", "--grpc", "127.0.0.1:0")
        until(found.exists)
        self.target = json.loads(found.read_text())["grpc"]["target"]

    @property
    def token(self) -> str:
        return (self.box.home / "grpc_auth.token").read_text().strip()

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(WITHIN_S)


def bearer(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")]


def summary(channel, metadata=None):
    stub = cluster_pb2_grpc.ClusterServiceStub(channel)
    request = cluster_pb2.GetSystemSummaryRequest(version=1)
    return json.loads(stub.GetSystemSummary(request, timeout=10, metadata=metadata).summary_json)


def refusal(channel, metadata=None):
    with pytest.raises(grpc.RpcError) as raised:
        summary(channel, metadata)
    return raised.value.code()


def test_a_token_is_needed_but_on_the_socket(box):
    daemon = Daemon(box)
    with grpc.insecure_channel(daemon.target) as channel:
        assert summary(channel, bearer(daemon.token))["nodes"][0]["self?"] is True
        assert refusal(channel) is grpc.StatusCode.UNAUTHENTICATED
        assert refusal(channel, bearer("nonsense")) is grpc.StatusCode.UNAUTHENTICATED
        stub = cluster_pb2_grpc.ClusterServiceStub(channel)
        with pytest.raises(grpc.RpcError) as raised:  # a handshake carries its own credential
            stub.NetworkHandshake(cluster_pb2.NetworkHandshakeRequest(token="x"), timeout=10)
        assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    (socket,) = box.home.rglob("mnedge.sock")
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        assert summary(channel)["jobs"] == []


def test_a_client_that_calls_too_often_is_told(box):
    config = box.folder / "mnedge.yaml"
    config.write_text("relay:\n  rateLimit: {requestsPerSecond: 1, burst: 3}\n")
    box.environ["MNEDGE_CONFIG"] = str(config)
    daemon = Daemon(box)
    with grpc.insecure_channel(daemon.target) as channel:
        metadata, codes = bearer(daemon.token), []
        for _ in range(8):
            try:
                summary(channel, metadata)
            except grpc.RpcError as error:
                codes.append(error.code())
        assert grpc.StatusCode.RESOURCE_EXHAUSTED in codes
        assert set(codes) == {grpc.StatusCode.RESOURCE_EXHAUSTED}


def test_after_a_kill_the_job_goes_on_and_its_stream_is_whole(box):
    daemon = Daemon(box)
    manifest = json.loads(json.dumps(MANIFEST))
    manifest["nodes"][1]["config"]["command"] = "sleep 1; echo done"
    with grpc.insecure_channel(daemon.target) as channel:
        made = job_pb2_grpc.JobServiceStub(channel).SubmitJob(
            job_pb2.SubmitJobRequest(manifest_json=json.dumps(manifest)),
            timeout=10,
            metadata=bearer(daemon.token),
        )
        stub = observability_pb2_grpc.ObservabilityServiceStub(channel)
        stream = stub.StreamEvents(
            observability_pb2.StreamEventsRequest(job_id=made.job_id, follow=True),
            metadata=bearer(daemon.token),
        )
        seen = []

        def watch():
            for one in stream:
                seen.append(json.loads(one.event_json))
                if seen[-1]["type"] == "job_running":
                    daemon.kill()

        with pytest.raises(grpc.RpcError):
            watch()
    again = Daemon(box)
    with grpc.insecure_channel(again.target) as channel:
        stub = observability_pb2_grpc.ObservabilityServiceStub(channel)
        stream = stub.StreamEvents(
            observability_pb2.StreamEventsRequest(job_id=made.job_id, follow=True),
            metadata=bearer(again.token),
            timeout=WITHIN_S,
        )
        events = [json.loads(one.event_json) for one in stream]
    ids = [event["message_id"] for event in events if event["type"] != "stream_heartbeat"]
    assert len(set(ids)) == len(ids)
    assert {event["message_id"] for event in seen} <= set(ids)
    assert events[-1]["type"] == "run_completed"
