"""What a worker is told of its step."""

from tests.engine.jobs import JOB_ID
from tests.engine.ledger.flows import Run, after, flow, said, step


def test_a_worker_sees_all_its_parents():
    run = Run(
        flow(
            [step("a"), step("b", policy="skip"), step("c", "all_done")],
            [after("a", "c"), after("b", "c")],
            seeds={"a": [{}], "b": [{}]},
        )
    )
    run.finish("a", said(complete={"n": 1}))
    run.fail("b")
    parents = run.out[0].workflow["parents"]
    assert [(one["step_id"], one["status"], one["outcome"], one["output"]) for one in parents] == [
        ("a", "completed", "success", {"n": 1}),
        ("b", "skipped", "failed", None),
    ]


def test_moments_are_seconds_of_job_time():
    run = Run(flow([step("a", timeout_s=5)], []))
    workflow = run.out[0].workflow
    assert (workflow["run_id"], workflow["deadline_at"]) == (JOB_ID, 105.0)
    assert workflow["timeout_seconds"] == 5


def test_a_further_message_of_the_attempt_has_a_key_of_its_own():
    from tests.engine.jobs import agent

    agents = [
        agent("a", "executor", output_message_type="a_done", workflow_complete_step=False),
    ]
    run = Run(flow([step("a")], [], agents=agents, sink=None))
    first = run.out[0]
    assert first.idempotency_key == first.workflow["idempotency_key"]
    run.sent("a", {"n": 2})
    run.finish("a")
    second = run.out[0]
    assert second.workflow["attempt_id"] == "a:attempt:1"
    assert second.idempotency_key == f"{JOB_ID}:{second.attempt_id}"
