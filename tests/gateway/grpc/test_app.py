from mnedge.gateway.grpc.app import application
from mnedge.gateway.grpc.transport import Transport
from tests.gateway.grpc.wire import a_wire


async def test_the_application_answers_the_services(tmp_path):
    async with a_wire(tmp_path) as wire:
        assert isinstance(application(wire.backend), Transport)
        assert (await wire.cluster("GetSystemSummary"))["nodes"]
