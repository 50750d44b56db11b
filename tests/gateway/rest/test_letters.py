import pytest
import trio

from mnedge.model.commands import RunAttempt
from mnedge.model.facts import Emission, Structured
from mnedge.model.states import AgentKind
from mnedge.runtime.view import job_view
from tests.runtime.rig import a_spec, agent, submitted, succeeded


async def hang(command: RunAttempt):
    await trio.sleep_forever()


async def emits(command: RunAttempt):
    lost = [Emission(type="lost", to="nobody", body={"n": number}) for number in (1, 2)]
    return succeeded(structured=Structured(emissions=lost))


async def letters_of(node) -> list[str]:
    """Have a job that goes on with two dead letters; return their ids."""
    spec = a_spec(
        [agent("start", AgentKind.EXECUTOR), agent("other", AgentKind.EXECUTOR)],
        [],
        {"start": [{"n": 1}], "other": [{}]},
    )
    node.rig.executor.work |= {"other": hang, "start": emits}
    await submitted(node.rig, spec)
    await trio.sleep(1)
    view = await job_view(node.rig.store, "job-1")
    return [letter["message_id"] for letter in view.dead_letters]


async def left(node) -> list[str]:
    view = await job_view(node.rig.store, "job-1")
    return [letter["message_id"] for letter in view.dead_letters]


@pytest.mark.drives("GET /api/v1/dead-letters")
@pytest.mark.drives("GET /api/v1/jobs/{job_id}/dead-letters")
async def test_dead_letters_are_listed(node):
    ids = await letters_of(node)
    assert len(ids) == 2
    assert [one["message_id"] for one in (await node.get("/jobs/job-1/dead-letters"))["data"]] == (
        ids
    )
    every = (await node.get("/dead-letters"))["data"]
    assert [(one["job_id"], one["message_id"]) for one in every] == [("job-1", one) for one in ids]


@pytest.mark.drives("POST /api/v1/jobs/{job_id}/dead-letters/{message_id}/discard")
async def test_dead_letters_are_forgotten_one_by_one_or_all(node):
    first, second = await letters_of(node)
    told = await node.post(f"/jobs/job-1/dead-letters/{first}/discard")
    assert told["message_ids"] == [first]
    assert told["settled"]
    assert await left(node) == [second]
    await node.post("/jobs/job-1/dead-letters/all/discard")
    assert await left(node) == []
    gone = await node.post("/jobs/job-1/dead-letters/all/discard", status=404)
    assert gone["code"] == "dead_letter.not_found"


@pytest.mark.drives("POST /api/v1/jobs/{job_id}/dead-letters/{message_id}/retry")
async def test_a_letter_for_nobody_stays_dead_and_the_answer_says_so(node):
    first, second = await letters_of(node)
    told = await node.post(f"/jobs/job-1/dead-letters/{first}/retry", status=409)
    assert told["code"] == "dead_letter.left"
    assert len(await left(node)) == 2
    asked = await node.post(f"/jobs/job-1/dead-letters/{second}/retry?wait=0", status=202)
    assert not asked["settled"]
