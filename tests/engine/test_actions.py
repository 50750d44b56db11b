"""What workers ask for: every option of an emission, completions of steps and of the run."""

import pytest

from mnedge.model.facts import Completion, Emission, Structured
from mnedge.model.ids import derived_id
from mnedge.model.states import JobStatus
from tests.engine.jobs import Play, agent, edge, spec_of, succeeded

SEED = {
    "envelope": {"message_id": "m", "class": "stream", "correlation_id": "c"},
    "headers": {"early": 1, "shared": "old"},
    "body": "in",
    "artifacts": ["a"],
    "stream": {"id": 1},
}


def emitted(emission):
    """The message that a worker's emission becomes for agent `b`."""
    agents = [agent("w", "executor", output_message_type=None), agent("b", "aggregator")]
    agents[1] = agent("b", "aggregator", complete_job=False)
    play = Play(spec_of(agents, [edge("w", "b", "x")], seeds={"w": [SEED]}))
    play.ended(outcome=succeeded(structured=Structured(emissions=[emission])))
    found = [e.payload for e in play.events if e.agent_id == "b" and e.type[:6] == "agent_"]
    return found[0] if found else None


@pytest.mark.parametrize("to", [None, "b"])
def test_missing_options_inherit(to):
    message = emitted(Emission(type="x", to=to, body={"n": 1}))
    assert (message.type, message.body, message.sender, message.to) == ("x", {"n": 1}, "w", "b")
    assert (message.class_, message.correlation_id, message.causation_id) == ("stream", "c", "m")
    assert (message.headers, message.artifacts) == ({"early": 1, "shared": "old"}, ["a"])
    assert message.stream == {"id": 1}
    key = "1" if to else "1:w__x__b"
    assert message.message_id == derived_id(f"m:w:b:{key}")


def test_given_options_win():
    message = emitted(
        Emission(
            type="x",
            class_="control",
            correlation_id="C",
            causation_id="K",
            content_type="text/json",
            content_encoding="gzip",
            headers={"shared": "new", "late": 2},
            artifacts=[],
            stream={},
        )
    )
    assert (message.class_, message.correlation_id, message.causation_id) == ("control", "C", "K")
    assert (message.content_type, message.content_encoding) == ("text/json", "gzip")
    assert message.headers == {"early": 1, "shared": "new", "late": 2}
    assert (message.artifacts, message.stream, message.body) == ([], {}, None)


def test_an_emission_of_another_type_goes_nowhere():
    assert emitted(Emission(type="y")) is None


def test_a_step_is_noted_and_a_run_is_completed():
    play = Play(spec_of([agent("w", "executor")]))
    both = [Completion(scope="run", value=True), Completion(scope="step", value={"ok": 1})]
    play.ended(outcome=succeeded(structured=Structured(completions=both)))
    assert play.told("workflow_step_attempt_completed") == [{"ok": 1}]
    assert play.types.index("workflow_step_attempt_completed") < play.types.index("job_completed")
    assert play.finished.result == {"agent_id": "w", "output": True}


def test_the_result_of_a_step_may_be_any_value():
    play = Play(spec_of([agent("w", "executor")]))
    step = Structured(completions=[Completion(scope="step", value=5)])
    play.ended(outcome=succeeded(structured=step))
    assert play.told("workflow_step_attempt_completed") == [{"result": 5}]
    assert play.state.status is JobStatus.RUNNING
