"""What a person may answer is checked before anybody is asked."""

import msgspec
import pytest

from mnedge.model.states import JobStatus, Verb
from mnedge.runtime import answers, jobs
from mnedge.runtime.view import job_view
from tests.runtime.rig import a_rig, now, pipeline, submitted


def request(request_id, *allowed):
    return {"request_id": request_id, "allowed_decisions": list(allowed or ("approve", "reject"))}


def letter(message_id):
    return {"message_id": message_id, "reason": "unknown target"}


async def a_view(rig, *, status=JobStatus.RUNNING, requests=(), letters=()):
    record = await submitted(rig, pipeline())
    await jobs.write_job(rig.store, msgspec.structs.replace(record, status=status))
    view = await job_view(rig.store, "job-1")
    return msgspec.structs.replace(view, human_requests=list(requests), dead_letters=list(letters))


async def test_the_only_request_is_meant(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        view = await a_view(rig, requests=[request("r-1")])
        asked, answered = await answers.respond(
            rig.store, view, "approve", now=now, by="ada", comment="fine", more={"value": 7}
        )
        assert answered["request_id"] == "r-1"
        [waiting] = await jobs.waiting_asks(rig.store, "job-1")
        assert waiting == asked
        assert (asked.verb, asked.by) == (Verb.RESPOND, "ada")
        assert asked.details == {
            "request_id": "r-1",
            "decision": "approve",
            "comment": "fine",
            "value": 7,
        }


async def test_of_several_requests_one_must_be_named(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        view = await a_view(rig, requests=[request("r-1"), request("r-12"), request("s-1")])
        assert answers.chosen_request(view, "s")["request_id"] == "s-1"
        assert answers.chosen_request(view, "r-1")["request_id"] == "r-1"
        for named in (None, "r"):
            with pytest.raises(answers.RequestAmbiguousError) as caught:
                answers.chosen_request(view, named)
            assert caught.value.details["requests"] == ["r-1", "r-12", "s-1"]
        with pytest.raises(answers.RequestNotFoundError, match="no request 'x'"):
            answers.chosen_request(view, "x")


async def test_where_nobody_is_asked_nothing_is_answered(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        with pytest.raises(answers.RequestNotFoundError, match="waits for nobody"):
            await answers.respond(rig.store, await a_view(rig), "approve", now=now)
        assert await jobs.waiting_asks(rig.store, "job-1") == []


async def test_a_decision_that_is_not_allowed_is_refused_with_those_that_are(
    tmp_path, autojump_clock
):
    async with a_rig(tmp_path) as rig:
        view = await a_view(rig, requests=[request("r-1", "ship", "hold")])
        with pytest.raises(answers.DecisionNotAllowedError) as caught:
            await answers.respond(rig.store, view, "approve", now=now)
        assert caught.value.details["allowed_decisions"] == ["ship", "hold"]
        assert "ship, hold" in caught.value.hint
        assert await jobs.waiting_asks(rig.store, "job-1") == []


async def test_a_job_that_is_over_takes_no_answer(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        view = await a_view(rig, status=JobStatus.COMPLETED, requests=[request("r-1")])
        with pytest.raises(jobs.JobStatusError, match="nobody waits"):
            await answers.respond(rig.store, view, "approve", now=now)


async def test_dead_letters_are_named_by_their_beginning_or_all_at_once(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        view = await a_view(rig, letters=[letter("m-1"), letter("m-12"), letter("n")])
        asked, letters = await answers.dispose(rig.store, view, Verb.REDRIVE, "n", now=now)
        assert (asked.details, letters) == ({"message_id": "n"}, [letter("n")])
        asked, letters = await answers.dispose(rig.store, view, Verb.DISCARD, "*", now=now)
        assert (asked.details, len(letters)) == ({"message_id": "*"}, 3)
        assert answers.chosen_letters(view, "m-1") == [letter("m-1")]
        with pytest.raises(answers.LetterNotFoundError, match="several"):
            answers.chosen_letters(view, "m")
        with pytest.raises(answers.LetterNotFoundError, match="no dead letter begins"):
            answers.chosen_letters(view, "x")


async def test_without_dead_letters_there_is_nothing_to_do(tmp_path, autojump_clock):
    async with a_rig(tmp_path) as rig:
        with pytest.raises(answers.LetterNotFoundError, match="has no dead letters"):
            await answers.dispose(rig.store, await a_view(rig), Verb.DISCARD, "*", now=now)
