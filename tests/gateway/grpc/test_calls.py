import pytest

from mnedge.errors import UsageError
from mnedge.gateway.audit_trail import Trail
from mnedge.gateway.grpc.calls import Call, JsonFieldError, json_object
from mnedge.model.access import Scope
from tests.gateway.grpc.wire import ADA, V1, V2, RefusedError, a_wire


@pytest.mark.parametrize("text", ["[1]", "1", "null", '"x"', "{", "[" * 5000, '{"a": \ud800}'])
def test_only_objects_are_taken_for_json(text):
    with pytest.raises(JsonFieldError, match="attrs_json"):
        json_object(text, "attrs_json")


def test_no_text_stands_for_an_empty_object():
    assert json_object(" \n", "x") == {}
    assert json_object('{"a": 1}', "x") == {"a": 1}


def test_a_field_that_must_hold_something_is_named():
    call = Call(None, {"state": {"principal": ADA}}, {"job_id": "  "})
    with pytest.raises(UsageError, match="job_id is empty"):
        call.required("job_id")


def test_a_call_knows_who_asks_and_in_which_trace():
    parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    scope = {"state": {"principal": ADA}, "headers": [(b"traceparent", parent)]}
    trail = Trail("job.submit", "job/")
    call = Call(None, scope, {}, trail)
    assert call.origin.submitted_by == "user:ada"
    assert call.origin.trace_parent == parent.decode()
    scope["state"]["trace_parent"] = "00-the-request-s-own"
    assert call.origin.trace_parent == "00-the-request-s-own"
    call.changes("job/1")
    assert trail.object == "job/1"
    Call(None, scope, {}).changes("job/2")


async def test_every_refusal_of_a_change_is_written_down(tmp_path):
    reader = type(ADA)(name="user:bob", scope=Scope.READ, kind="token")
    async with a_wire(tmp_path, reader) as wire:
        for service, method in ((V1, "CancelJob"), (V2, "StartRun")):
            with pytest.raises(RefusedError) as raised:
                await wire.unary(service, method, job_id="job-1")
            assert raised.value.status == 7
        assert [(one[2], one[3]) for one in await wire.audited()] == [
            ("job/job-1", "deny"),
            ("definition/job-1", "deny"),
        ]


async def test_nobody_is_served_without_being_known(tmp_path):
    async with a_wire(tmp_path, None) as wire:
        for service, method in ((V1, "CancelJob"), (V1, "GetJob"), (V1, "DeployJob")):
            with pytest.raises(RefusedError) as raised:
                await wire.unary(service, method)
            assert raised.value.status == 16
        assert await wire.audited() == []
