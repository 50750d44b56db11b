import pytest

from mnedge.errors import UnavailableError
from mnedge.execution.large import Offload, plain
from mnedge.model.body import INLINE_LIMIT_BYTES, BlobRef
from mnedge.model.facts import (
    Checkpoint,
    Complete,
    Completion,
    DeliverLater,
    Emission,
    Emit,
    NamedEvent,
    Structured,
    Tell,
)
from tests.execution.node import Blobs

BIG = "x" * (INLINE_LIMIT_BYTES + 1)


@pytest.fixture
def blobs():
    return Blobs()


@pytest.fixture
def offload(blobs):
    return Offload(blobs, ("a.b", "missing"))


@pytest.mark.parametrize("value", [None, 1, "short", {"a": [1]}, b"bytes"])
async def test_what_is_small_stays(offload, blobs, value):
    assert await offload.value(value) == value
    assert blobs.kept == {}


@pytest.mark.parametrize(
    "value,encoding",
    [
        (BIG, "text"),
        (BIG.encode(), "bytes"),
        ({"big": BIG, "a": {"b": 5}}, "json"),
        ([BIG], "json"),
    ],
)
async def test_what_is_large_becomes_a_reference_and_comes_back(offload, blobs, value, encoding):
    ref = await offload.value(value)
    assert type(ref) is BlobRef
    assert ref.encoding == encoding
    assert ref.size_bytes == len(blobs.kept[ref.digest])
    assert ref.values == ({"a.b": 5} if isinstance(value, dict) else {})
    assert await plain({"x": [ref]}, blobs) == {"x": [value]}


async def test_equal_contents_are_put_once(offload, blobs):
    members = await offload.members({"stderr": BIG, "logs": BIG, "code": 0})
    assert members["stderr"] == members["logs"]
    assert members["code"] == 0
    assert len(blobs.kept) == 1


async def test_large_trees_come_back_through_a_thread(blobs):
    offload = Offload(blobs, ())
    value = ["y" * 1000] * 2000
    assert await plain(await offload.value(value), blobs) == value


async def test_everything_a_worker_can_send_is_made_to_fit(offload):
    structured = await offload.structured(
        Structured(
            has_next_state=True,
            next_state=[BIG],
            events=[NamedEvent(type="e", payload={"big": BIG, "n": 1})],
            completions=[Completion(scope="run", value=BIG)],
            emissions=[Emission(type="t", body={"big": BIG})],
        )
    )
    assert type(structured.next_state) is BlobRef
    assert type(structured.events[0].payload["big"]) is BlobRef
    assert structured.events[0].payload["n"] == 1
    assert type(structured.completions[0].value) is BlobRef
    assert type(structured.emissions[0].body) is BlobRef


async def test_so_are_the_actions_of_a_module(offload):
    emit = await offload.action(Emit(emission=Emission(type="t", body=BIG)))
    tell = await offload.action(Tell(event=NamedEvent(type="e", payload={"x": BIG})))
    complete = await offload.action(Complete(completion=Completion(scope="run", value=BIG)))
    checkpoint = await offload.action(Checkpoint(snapshot={"x": BIG}))
    later = await offload.action(DeliverLater(delay_s=1, type="t", body=BIG))
    found = [emit.emission.body, tell.event.payload["x"], complete.completion.value,
             checkpoint.snapshot["x"], later.body]  # fmt: skip
    assert [type(one) for one in found] == [BlobRef] * 5


async def test_a_store_that_cannot_take_it_is_told(offload, blobs):
    blobs.failures = [UnavailableError("the disk is full")]
    with pytest.raises(UnavailableError):
        await offload.value(BIG)
    assert (await offload.value(BIG)).digest in blobs.kept


async def test_the_items_of_a_scatter_stay_a_list_however_many(offload):
    items = [{"n": number} for number in range(10_000)]
    event = NamedEvent(type="workflow_step_scatter", payload={"target": "t", "items": items})
    assert await offload.event(event) == event
    event = NamedEvent(type="workflow_step_scatter", payload={"target": "t", "items": [1, BIG]})
    fitted = await offload.event(event)
    assert fitted.payload["items"][0] == 1
    assert type(fitted.payload["items"][1]) is BlobRef


async def test_a_patch_stays_as_it_is(offload):
    operations = [{"op": "add_step", "id": f"s{number}", "with": {"x": BIG}} for number in range(3)]
    event = NamedEvent(type="workflow_graph_patch", payload={"operations": operations})
    assert await offload.event(event) is event
