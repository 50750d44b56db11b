import pytest

from mnedge.gateway.grpc.messages import JOB_V1, SERVICES
from mnedge.gateway.grpc.rpcs import RPCS
from mnedge.model.access import Scope
from tests.gateway.grpc.wire import V1, RefusedError, a_wire

ABSENT = [rpc.method.name for rpc in RPCS.values() if rpc.absent and V1 in rpc.path]


def test_every_method_of_every_service_is_listed_once():
    wanted = {service.path(method) for service in SERVICES for method in service.methods}
    assert set(RPCS) == wanted


def test_what_changes_something_is_audited_and_takes_more_than_reading():
    for rpc in RPCS.values():
        assert bool(rpc.action) == (rpc.scope is not Scope.READ)
        assert sum(map(bool, (rpc.unary, rpc.streaming, rpc.absent))) == 1
        assert rpc.method.streams == bool(rpc.streaming)
        if rpc.field:
            assert rpc.field in {field.name for field in rpc.method.request.fields}
    assert [rpc.method.name for rpc in RPCS.values() if rpc.public] == ["NetworkHandshake"]


def test_deployments_and_schedules_are_not_offered():
    assert len(ABSENT) == 19
    assert len(JOB_V1.methods) == 29


@pytest.mark.parametrize("method", ABSENT)
@pytest.mark.drives(f"{V1}/DeployJob")
@pytest.mark.drives(f"{V1}/UpdateDeployment")
@pytest.mark.drives(f"{V1}/GetDeployment")
@pytest.mark.drives(f"{V1}/ListDeployments")
@pytest.mark.drives(f"{V1}/PromoteDeployment")
@pytest.mark.drives(f"{V1}/RollbackDeployment")
@pytest.mark.drives(f"{V1}/PauseDeployment")
@pytest.mark.drives(f"{V1}/ResumeDeployment")
@pytest.mark.drives(f"{V1}/FailDeployment")
@pytest.mark.drives(f"{V1}/CreateSchedule")
@pytest.mark.drives(f"{V1}/UpdateSchedule")
@pytest.mark.drives(f"{V1}/GetSchedule")
@pytest.mark.drives(f"{V1}/ListSchedules")
@pytest.mark.drives(f"{V1}/PauseSchedule")
@pytest.mark.drives(f"{V1}/ResumeSchedule")
@pytest.mark.drives(f"{V1}/DeleteSchedule")
@pytest.mark.drives(f"{V1}/DispatchSchedule")
@pytest.mark.drives(f"{V1}/EmitTriggerEvent")
@pytest.mark.drives(f"{V1}/ListTriggerEvents")
async def test_what_is_not_offered_says_so_by_name(tmp_path, method):
    async with a_wire(tmp_path) as wire:
        with pytest.raises(RefusedError, match=f"{method} is not offered by this node") as raised:
            await wire.unary(V1, method)
        assert raised.value.status == 12
        assert await wire.audited() == []
