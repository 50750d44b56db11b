"""What workers wrote, read from the journal."""

from mnedge.model.body import BlobRef
from mnedge.model.codec import encode_fact
from mnedge.model.facts import AttemptEnded, Outcome, Submitted
from mnedge.model.states import OutcomeStatus
from mnedge.part import running
from mnedge.runtime.written import Reader, agent_of
from mnedge.store.memory import MemoryStore

JOB = "job-1"


def ended(attempt_id, status=OutcomeStatus.SUCCEEDED, launch=1, **said):
    outcome = Outcome(
        status=status,
        **({"error": said} if status is OutcomeStatus.FAILED else {"result": said}),
    )
    return AttemptEnded(at=10.0, attempt_id=attempt_id, launch=launch, outcome=outcome)


async def keep(store, first_seq, *facts):
    claim = await store.claims.claim(f"job/{JOB}")
    await store.journal.append(JOB, claim.epoch, first_seq, [encode_fact(fact) for fact in facts])
    await store.claims.release(claim)


async def test_every_attempt_that_wrote_something_is_found_once(autojump_clock):
    async with running(MemoryStore()) as store:
        await keep(
            store,
            1,
            Submitted(at=1.0),
            ended("a:m1", stdout="out", stderr="", exit_code=0),
            ended("a:m2", stdout="", stderr="", exit_code=0),
            ended("b:m3", OutcomeStatus.FAILED, launch=2, stderr="oops", exit_code=3),
        )
        reader = Reader(store, JOB, ["a", "b"])
        good, bad = await reader.look()
        assert (good.agent_id, good.stdout, good.exit_code) == ("a", "out", 0)
        assert (bad.agent_id, bad.stderr, bad.launch, bad.exit_code) == ("b", "oops", 2, 3)
        assert bad.record()["type"] == "worker_output"
        assert bad.record()["ts"] == "1970-01-01T00:00:10.000Z"
        assert await reader.look() == []
        await keep(store, 5, ended("a:m4", stdout="more"))
        assert [one.stdout for one in await reader.look()] == ["more"]


async def test_large_output_is_fetched_and_lost_output_is_named(autojump_clock):
    async with running(MemoryStore()) as store:
        digest = await store.blobs.put(b"a lot")
        kept = BlobRef(digest, 5, encoding="text")
        lost = BlobRef("sha256:" + "0" * 64, 99, encoding="text")
        await keep(store, 1, ended("a:m", stdout=kept, stderr=lost))
        (one,) = await Reader(store, JOB, ["a"]).look()
    assert one.stdout == "a lot"
    assert one.stderr == "[99 bytes that are no longer kept]"


def test_the_agent_is_the_longest_name_that_fits():
    assert agent_of("a:b:m1", ["a:b", "a"]) == "a:b"
    assert agent_of("a:m1", ["a:b", "a"]) == "a"
    assert agent_of("gone:m1", ["a"]) == "gone"
