"""People who answer: with verbs, and by appending to `human.jsonl`; now, later, or not at all."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from mnedge.model.manifest import Agent, HumanControl
from mnedge.model.states import AgentKind, JobStatus
from tests.live.box import Box, until
from tests.live.flow import chain, flow, shell

pytestmark = pytest.mark.live

GATE = Agent(
    agent_id="gate",
    kind=AgentKind.ROUTER,
    config={"approval_mode": "approval_required", "prompt": "Ship it?", "emit_type": "gate_done"},
)
HUMAN = HumanControl(mode="approval_required", timeout_s=60.0)
AFTER = shell("after", 'cat "$MN_INPUT_FILE"')


def gated(**more):
    return chain(shell("first", "echo report"), GATE, AFTER, human=HUMAN, **more)


def append(path: Path, record: object) -> None:
    with path.open("a") as file:
        file.write((record if isinstance(record, str) else json.dumps(record)) + "\n")


def answer(request_id, decision="approve", **more):
    payload = {"request_id": request_id, "decision": decision, **more}
    return {"type": "human_input_received", "payload": payload}


async def request_of(run):
    asked = await run.until("human_input_requested")
    return asked["payload"]["request_id"]


# ---- human.jsonl ----


async def test_a_line_that_a_person_appends_lets_a_job_go_on(tmp_path):
    async with flow(tmp_path, gated()) as run:
        request_id = await request_of(run)
        assert json.loads(run.file("run.json").read_text())["status"] == "waiting_for_human"
        append(run.file("human.jsonl"), answer(request_id, by="ada", comment="fine"))
        assert (await run.finished()).status is JobStatus.COMPLETED
        (applied,) = run.events("human_decision_applied")
        assert applied["payload"]["by"] == "ada"
        assert applied["payload"]["source"] == "human"
        assert applied["payload"]["approved"] is True
        shown = [json.loads(line) for line in run.file("human.jsonl").read_text().splitlines()]
        ours = [one for one in shown if "seq" in one]
        assert [one["type"] for one in ours] == [
            "human_input_requested",
            "human_input_received",
            "human_decision_applied",
        ]
        assert ours == run.events(*(one["type"] for one in ours))


async def test_an_answer_that_is_not_allowed_is_refused_and_the_question_stays(tmp_path):
    async with flow(tmp_path, gated()) as run:
        request_id = await request_of(run)
        append(run.file("human.jsonl"), answer(request_id, "perhaps"))
        rejected = await run.until("human_input_rejected")
        assert rejected["payload"]["decision"] == "perhaps"
        append(run.file("human.jsonl"), answer("somebody-else's"))
        append(run.file("human.jsonl"), answer(request_id, "reject"))
        assert (await run.finished()).status is JobStatus.FAILED
        (applied,) = run.events("human_decision_applied")
        assert applied["payload"]["approved"] is False


async def test_a_broken_line_is_told_and_harms_nobody(tmp_path):
    async with flow(tmp_path, gated()) as run:
        request_id = await request_of(run)
        append(run.file("human.jsonl"), '{"type": "human_input_recei')
        broken = await run.until("unparseable_event")
        assert broken["payload"]["file"] == "human.jsonl"
        run.file("human.jsonl").write_text("")
        append(run.file("human.jsonl"), answer(request_id))
        assert (await run.finished()).status is JobStatus.COMPLETED
        assert "human_input_requested" in run.file("human.jsonl").read_text()


async def test_nobody_answers_and_the_default_is_taken(tmp_path):
    spec = chain(GATE, AFTER, human=HumanControl(mode="approval_required", timeout_s=0.5))
    async with flow(tmp_path, spec) as run:
        assert (await run.finished()).status is JobStatus.FAILED
        (applied,) = run.events("human_decision_applied")
        assert (applied["payload"]["source"], applied["payload"]["decision"]) == (
            "timeout",
            "reject",
        )
        assert len(run.events("human_input_timeout")) == 1


ASKS = """
import json, os, time
path = os.path.join(os.environ["MN_RUN_DIR"], "human.jsonl")
line = {"type": "human_input_requested", "payload": {
    "request_id": "mine", "prompt": "Which?", "allowed_decisions": ["left", "right"]}}
with open(path, "a") as file:
    file.write(json.dumps(line) + "\\n")
while True:
    with open(path) as file:
        for text in file:
            found = json.loads(text)
            if (found["type"], found["payload"].get("request_id")) == (
                "human_decision_applied", "mine",
            ):
                print(json.dumps({"complete_step": found["payload"]["decision"]}))
                raise SystemExit
    time.sleep(0.05)
"""


async def test_a_worker_asks_and_reads_the_answer_in_the_file_alone(tmp_path):
    worker = shell("w", "", command=["python3", "-c", ASKS])
    async with flow(tmp_path, chain(worker, human=HUMAN)) as run:
        asked = await run.until("human_input_requested")
        while "seq" not in asked:
            await trio.sleep(0.05)
            asked = run.events("human_input_requested")[-1]
        assert asked["payload"]["prompt"] == "Which?"
        append(run.file("human.jsonl"), answer("mine", "left"))
        assert (await run.finished()).status is JobStatus.COMPLETED
        (completed,) = run.events("job_completed")
        assert completed["payload"]["result"] == "left" or "left" in json.dumps(completed)


# ---- verbs ----


@pytest.fixture
def box(tmp_path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    made.close()


ROLLOUT = ("blueprint", "run", "setting_rollout", "--set", "human_control.timeout_seconds=120")


def asked(box) -> dict:
    """Return the one request, once it is there."""
    until(lambda: box.json("job", "requests"))
    (request,) = box.json("job", "requests")
    return request


@pytest.mark.drives("mnedge job approve")
@pytest.mark.drives("mnedge job requests")
def test_a_second_process_approves_and_waits_until_it_counts(box):
    run = box.start(*ROLLOUT)
    request = asked(box)
    assert "mnedge job approve|reject" in box.call("job", "requests").stdout
    assert "waiting_for_human" in box.call("job", "show").stdout
    assert "waiting_for_human" in box.call("job", "list").stdout
    told = box.call("job", "approve", "last", "--comment", "all well", "--value", '{"ticket": 7}')
    assert "Approved" in told.stdout
    assert box.json("job", "requests", "last") == []
    assert run.wait(60) == 0
    steps = {step["id"]: step["status"] for step in box.json("job", "steps")}
    assert (steps["roll_out"], steps["roll_back"]) == ("completed", "skipped")
    (applied,) = [
        one for one in box.json("job", "events", "last") if one["type"] == "human_decision_applied"
    ]
    assert applied["payload"]["request_id"] == request["request_id"]
    text = json.dumps(box.json("job", "events", "last"))
    assert "all well" in text
    assert '"ticket": 7' in text


@pytest.mark.drives("mnedge job respond")
@pytest.mark.drives("mnedge job reject")
def test_a_decision_that_is_not_allowed_is_refused_with_those_that_are(box):
    run = box.start(*ROLLOUT)
    asked(box)
    told = box.call("job", "respond", "last", "--decision", "perhaps", code=2)
    assert "approve, reject" in told.stderr
    assert box.call("job", "reject", "last").stdout.startswith("✓ Rejected")
    assert run.wait(60) == 0
    steps = {step["id"]: step["status"] for step in box.json("job", "steps")}
    assert (steps["roll_out"], steps["roll_back"]) == ("skipped", "completed")
    assert "waits for nobody" in box.call("job", "approve", "last", code=2).stderr


@pytest.mark.parametrize("way", ["verb", "line"])
def test_an_answer_given_while_nobody_runs_counts_when_the_job_goes_on(box, way):
    run = box.start(*ROLLOUT)
    request = asked(box)
    run.send_signal(signal.SIGKILL)
    run.wait(60)
    assert len(box.json("job", "requests")) == 1
    if way == "verb":
        told = box.call("job", "approve", "last").stdout
        assert "the answer counts when it is recovered" in told
    else:
        append(box.runs()[0] / "human.jsonl", answer(request["request_id"]))
    box.call("job", "recover", "--all", "--quiet")
    steps = {step["id"]: step["status"] for step in box.json("job", "steps")}
    assert (steps["roll_out"], steps["roll_back"]) == ("completed", "skipped")
    events = box.json("job", "events", "last")
    assert [one["type"] for one in events].count("human_decision_applied") == 1
