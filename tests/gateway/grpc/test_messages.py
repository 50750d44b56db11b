"""The tables against the stubs of the published client."""

from typing import Any

import pytest
from mn_sdk.proto import cluster_pb2, job_pb2, job_v2_pb2, observability_pb2, operations_pb2

from mnedge.gateway.grpc.messages import SERVICES

STUBS = (job_pb2, job_v2_pb2, cluster_pb2, observability_pb2, operations_pb2)
_KINDS = {9: "S", 8: "B", 13: "u", 5: "i", 3: "l", 11: "M"}


def fields_of(message: Any) -> list[tuple[str, int, str]]:
    return sorted((field.name, field.number, _KINDS[field.type]) for field in message.fields)


@pytest.mark.parametrize("ours, stub", list(zip(SERVICES, STUBS, strict=True)))
def test_every_service_is_as_the_client_has_it(ours, stub):
    (service,) = stub.DESCRIPTOR.services_by_name.values()
    assert ours.name == service.full_name
    assert {method.name for method in ours.methods} == {one.name for one in service.methods}
    for method in ours.methods:
        theirs = service.methods_by_name[method.name]
        assert method.streams == theirs.server_streaming
        assert not theirs.client_streaming
        for mine, wanted in (
            (method.request, theirs.input_type),
            (method.response, theirs.output_type),
        ):
            assert mine.name == wanted.name, method.name
            assert sorted(mine.fields) == fields_of(wanted), mine.name
