"""Agents that hold a step of many agents together: where it starts, joins and ends.

Each remembers one attempt of each step that it works for: a new attempt starts from nothing, and
instances of one step that run side by side do not meet.

Source: worker contract 2.11, bundle format 3.2.
"""

from collections.abc import Iterable
from typing import Any

from mnedge.engine.actions import complete
from mnedge.engine.job import fail
from mnedge.engine.ledger.definition import NO_STEP
from mnedge.engine.ledger.headers import ATTEMPT_ID, SOURCE_STEP_ID
from mnedge.engine.ledger.run import complete_run
from mnedge.engine.ledger.settle import attempt_failed
from mnedge.engine.primitives import complete_alone
from mnedge.engine.references import (
    METADATA,
    missing,
    output_of,
    plain_list,
    references,
    resolved,
    unwrapped,
)
from mnedge.engine.route import Draft, emit, remember_output
from mnedge.engine.settings import mapping, named, truthy
from mnedge.engine.state import Assembly, GlueMemory
from mnedge.engine.turn import Turn
from mnedge.model.body import BlobRef, value_at, weight_of
from mnedge.model.message import Message
from mnedge.model.states import TERMINAL, TERMINAL_STEP, StepOutcome, TriggerRule

ASSEMBLIES_KEPT = 256
"""Beyond, those of steps that are over are forgotten."""
SEEN_KEPT = 1000
_INPUT_LEVELS = 6
_WAITS_FOR_ALL = (
    TriggerRule.ALL_SUCCESS,
    TriggerRule.ALL_DONE,
    TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
)
_NOTHING_SENT = (StepOutcome.SKIPPED, StepOutcome.FAILED)


# ---- what is remembered ----


def _assembly(turn: Turn, index: int, message: Message) -> Assembly:
    """Return what the agent has of this attempt; of an attempt it does not know, nothing."""
    agent = turn.state.agents[index]
    memory = agent.memory
    if not isinstance(memory, GlueMemory):
        memory = agent.memory = GlueMemory()
    attempt = _attempt_of(turn, index, message)
    found = memory.assemblies.get(turn.step)
    if found is not None and (attempt is None or found.attempt == attempt):
        return found
    if found is not None:
        _forget(turn, memory, turn.step)
    _prune(turn, memory)
    found = memory.assemblies[turn.step] = Assembly(attempt)
    return found


def _attempt_of(turn: Turn, index: int, message: Message) -> str | None:
    if turn.step != NO_STEP:
        return named(message.headers.get(ATTEMPT_ID))
    about = _metadata(message.body)
    step_id = named(turn.job.agents[index].agent.config.get("step_id"))
    if step_id is not None and about.get("step_id") != step_id:
        return None  # it tells of the step that the message comes from
    return named(about.get("attempt_id"))


def _forget(turn: Turn, memory: GlueMemory, number: int) -> None:
    gone = memory.assemblies.pop(number)
    memory.weight_bytes -= gone.weight_bytes
    turn.state.kept_bytes -= gone.weight_bytes


def _prune(turn: Turn, memory: GlueMemory) -> None:
    """Forget steps that are over, now and then."""
    if len(memory.assemblies) < memory.prune_at or turn.state.ledger is None:
        return
    for number in list(memory.assemblies):
        step = turn.ledger.steps.get(number)
        if step is None or step.status in TERMINAL_STEP:
            _forget(turn, memory, number)
    memory.prune_at = max(ASSEMBLIES_KEPT, 2 * len(memory.assemblies))


def _weigh(turn: Turn, index: int, assembly: Assembly, change_bytes: int) -> None:
    memory = turn.state.agents[index].memory
    if isinstance(memory, GlueMemory):
        assembly.weight_bytes += change_bytes
        memory.weight_bytes += change_bytes
        turn.state.kept_bytes += change_bytes


def _put(turn: Turn, index: int, assembly: Assembly, name: str, body: Any) -> None:
    """Keep a body under a name, in the place of an earlier one."""
    change_bytes = weight_of(body)
    if name in assembly.received:
        change_bytes -= weight_of(assembly.received[name])
    else:
        change_bytes += weight_of(name)
    assembly.received[name] = body
    _weigh(turn, index, assembly, change_bytes)


def _done(turn: Turn, index: int, assembly: Assembly) -> None:
    """Note that it has sent on; what it had gathered is no longer needed."""
    assembly.done = True
    for name in list(assembly.received):
        _put(turn, index, assembly, name, None)


# ---- the start of a step ----


def start_step(turn: Turn, index: int, message: Message) -> None:
    """Gather what the steps before have brought; once all is there, hand on the step's inputs."""
    compiled, agent = turn.agent(index)
    agent.processed += 1
    assembly = _assembly(turn, index, message)
    if message.message_id in assembly.seen:
        _tell_start(turn, index, assembly, "duplicate_ignored")
        return
    assembly.seen[message.message_id] = True
    _weigh(turn, index, assembly, weight_of(message.message_id))
    if len(assembly.seen) > SEEN_KEPT:
        oldest = next(iter(assembly.seen))
        del assembly.seen[oldest]
        _weigh(turn, index, assembly, -weight_of(oldest))
    if assembly.done:
        _tell_start(turn, index, assembly, "already_dispatched")
        return
    config = compiled.agent.config
    required = _names(config.get("required_upstreams"))
    triggered = _take_upstreams(turn, index, assembly, message, required)
    _take_run_inputs(turn, index, assembly, message, first=not required)
    if not triggered and any(_is_awaited(turn, assembly, name) for name in required):
        _tell_start(turn, index, assembly, "waiting")
        return
    _dispatch(turn, index, assembly, message)


def _take_upstreams(
    turn: Turn, index: int, assembly: Assembly, message: Message, required: list[str]
) -> bool:
    """Keep what the message brings; tell whether it is the ledger's own: nothing else will come."""
    wanted = dict.fromkeys(required)
    for reference in references(turn.job.agents[index].agent.config.get("fields")):
        if reference["$ref"] == "upstream" and isinstance(reference.get("step_id"), str):
            wanted[reference["step_id"]] = None
    body = message.body
    if message.type == "workflow_trigger" and message.sender == "workflow_ledger":
        parents = value_at(body, ("parents",))
        for parent in parents if isinstance(parents, list) else ():
            if isinstance(parent, dict) and parent.get("step_id") in wanted:
                _put(turn, index, assembly, parent["step_id"], parent.get("output"))
        return True
    sender = message.headers.get(SOURCE_STEP_ID)
    sender = sender if isinstance(sender, str) else ""
    for name in (value_at(body, ("step_id",)), sender, sender.partition("[")[0]):
        if isinstance(name, str) and name in wanted:
            _put(turn, index, assembly, name, body)
            break
    return False


def _is_awaited(turn: Turn, assembly: Assembly, name: str) -> bool:
    """Tell whether the upstream has not delivered, and will.

    The ledger knows who ended without sending anything, and whether the step waits for who has not
    ended.
    """
    if name in assembly.received:
        return False
    if turn.step == NO_STEP:
        return True
    upstream = turn.ledger.steps.get(turn.ledger.step_of.get(name, NO_STEP))
    if upstream is None:
        return True
    if upstream.outcome is StepOutcome.MAPPED:
        return f"{name}[0]" in turn.ledger.step_of
    if upstream.status in TERMINAL_STEP:
        return upstream.outcome not in _NOTHING_SENT
    return turn.definition(turn.ledger.steps[turn.step]).step.rule in _WAITS_FOR_ALL


def _take_run_inputs(
    turn: Turn, index: int, assembly: Assembly, message: Message, *, first: bool
) -> None:
    about = _metadata(message.body)
    given = [about.get("run_inputs"), about.get("run_inputs_ref")]
    found = next((one for one in given if isinstance(one, dict | BlobRef)), None)
    if found is None and first:
        found = unwrapped(message.body)
    if given[1] is not None:
        _keep_inputs(turn, index, assembly, assembly.run_inputs, given[1])
    if found is not None:
        _keep_inputs(turn, index, assembly, found, assembly.run_inputs_ref)


def _keep_inputs(
    turn: Turn, index: int, assembly: Assembly, run_inputs: Any, run_inputs_ref: Any
) -> None:
    before = weight_of(assembly.run_inputs) + weight_of(assembly.run_inputs_ref)
    assembly.run_inputs, assembly.run_inputs_ref = run_inputs, run_inputs_ref
    after = weight_of(run_inputs) + weight_of(run_inputs_ref)
    _weigh(turn, index, assembly, after - before)


def _dispatch(turn: Turn, index: int, assembly: Assembly, message: Message) -> None:
    compiled = turn.job.agents[index]
    config = compiled.agent.config
    received = assembly.received
    run_inputs = assembly.run_inputs
    if run_inputs is None:
        run_inputs = turn.job.spec.inputs

    def lookup(source: str, step_id: str, path: tuple[str, ...]) -> Any:
        match source:
            case "run_input":
                return value_at(run_inputs, path)
            case "upstream":
                return output_of(received.get(step_id), path)
            case _:
                return None

    outputs = resolved(mapping(config.get("fields")), lookup)
    if _refused(turn, index, missing(config.get("schema"), outputs)):
        return
    about = {
        "step_id": _step_id(turn, index),
        "attempt_id": assembly.attempt,
        "upstream_steps": list(received),
        "run_inputs": run_inputs,
        "run_inputs_ref": assembly.run_inputs_ref,
    }
    result = {"outputs": outputs, "artifacts": _artifacts(received.values()), METADATA: about}
    _done(turn, index, assembly)
    _keep_inputs(turn, index, assembly, None, None)
    _tell_start(turn, index, assembly, "dispatched")
    complete_alone(turn, result)
    _send_on(turn, index, message, result)


def _tell_start(turn: Turn, index: int, assembly: Assembly, what: str) -> None:
    payload = {
        "step_id": _step_id(turn, index),
        "received_upstream_count": len(assembly.received),
        "dispatched": assembly.done,
    }
    turn.tell(f"step_source_{what}", turn.job.agents[index].agent_id, payload)


# ---- where ways inside a step meet ----


def join(turn: Turn, index: int, message: Message) -> None:
    """Gather one body of each sender; once all are there (or the first), hand them on together."""
    compiled, agent = turn.agent(index)
    agent.processed += 1
    config = compiled.agent.config
    if truthy(config.get("fail_on_message")):
        _fail(turn, index, named(config.get("failure_reason")) or "step join got a message")
        return
    assembly = _assembly(turn, index, message)
    expected = _names(config.get("expected_sources"))
    if assembly.done or message.sender in assembly.received:
        _tell_join(turn, index, assembly, expected, "duplicate_ignored")
        return
    first = config.get("completion_mode") == "first"
    if first or not expected or message.sender in expected:
        _put(turn, index, assembly, message.sender, message.body)
    if not first and any(name not in assembly.received for name in expected):
        _tell_join(turn, index, assembly, expected, "waiting")
        return
    if truthy(config.get("passthrough")):
        result = next(iter(assembly.received.values()))
    else:
        result = _joined(turn, index, assembly, expected, message)
    _done(turn, index, assembly)
    _tell_join(turn, index, assembly, expected, "completed")
    complete_alone(turn, result)
    _send_on(turn, index, message, result)


def _joined(
    turn: Turn, index: int, assembly: Assembly, expected: list[str], message: Message
) -> dict[str, Any]:
    """Return what all have brought: in the order in which they are expected."""
    compiled = turn.job.agents[index]
    keys = mapping(compiled.agent.config.get("output_keys"))
    received = assembly.received
    order = [name for name in expected if name in received] or list(received)
    outputs = {named(keys.get(name)) or name: output_of(received[name], ()) for name in order}
    about = next(filter(None, (_metadata(received[name]) for name in order)), {})
    return {
        "agent_id": compiled.agent_id,
        "outputs": outputs,
        "artifacts": _artifacts(received[name] for name in order),
        METADATA: _about(turn, index, assembly, about),
    }


def _tell_join(turn: Turn, index: int, assembly: Assembly, expected: list[str], what: str) -> None:
    payload = {
        "expected_count": len(expected),
        "received_count": len(assembly.received),
        "emitted": assembly.done,
    }
    turn.tell(f"step_join_{what}", turn.job.agents[index].agent_id, payload)


# ---- the end of a step ----


def end_step(turn: Turn, index: int, message: Message) -> None:
    """Complete the step with the first message's outputs, then hand them on; once per attempt."""
    compiled, agent = turn.agent(index)
    agent.processed += 1
    config = compiled.agent.config
    assembly = _assembly(turn, index, message)
    step_id = _step_id(turn, index)
    if assembly.done:
        turn.tell("step_sink_duplicate_ignored", compiled.agent_id, {"step_id": step_id})
        return
    about = _metadata(message.body)
    given = about.get("run_inputs")
    run_inputs = given if isinstance(given, dict | BlobRef) else turn.job.spec.inputs

    def lookup(source: str, named_step: str, path: tuple[str, ...]) -> Any:
        match source:
            case "flow_output":
                return output_of(message.body, path)
            case "run_input":
                return value_at(run_inputs, path)
            case _:
                return None

    outputs = resolved(mapping(config.get("fields")), lookup)
    if _refused(turn, index, missing(config.get("schema"), outputs)):
        return
    assembly.done = True
    result = {
        "step_id": step_id,
        "outputs": outputs,
        "artifacts": _artifacts([message.body]),
        METADATA: _about(turn, index, assembly, about),
    }
    turn.tell("step_sink_completed", compiled.agent_id, {"step_id": step_id})
    complete(turn, index, "step", result, _attempt_number(turn))
    _send_on(turn, index, message, result)
    if compiled.completes and turn.step == NO_STEP and turn.state.status not in TERMINAL:
        complete_run(turn, index, result)


def _attempt_number(turn: Turn) -> int:
    if turn.step == NO_STEP:
        return 0
    current = turn.ledger.steps[turn.step].current
    return 0 if current is None else current.number


# ---- common ----


def _send_on(turn: Turn, index: int, message: Message, result: Any) -> None:
    """Emit the result under the agent's type, unless the job is over."""
    if turn.state.status in TERMINAL:
        return
    emits = turn.job.agents[index].emits
    if emits is None:
        remember_output(turn, index, result)
    else:
        emit(turn, index, Draft(message, emits, result, action=1, class_="event"))


def _refused(turn: Turn, index: int, names: list[str]) -> bool:
    if names:
        _fail(turn, index, f"step contract is missing required fields: {', '.join(names)}")
    return bool(names)


def _fail(turn: Turn, index: int, reason: str) -> None:
    """Let the step's attempt fail; without a step it is the job that fails."""
    if turn.step == NO_STEP:
        fail(turn, turn.job.agents[index].agent_id, reason)
    else:
        attempt_failed(turn, turn.ledger.steps[turn.step], reason)


def _step_id(turn: Turn, index: int) -> str | None:
    """Return the step as the agent's config calls it, else the one that is acted for."""
    declared = named(turn.job.agents[index].agent.config.get("step_id"))
    if declared is None and turn.step != NO_STEP:
        return turn.ledger.steps[turn.step].step_id
    return declared


def _about(turn: Turn, index: int, assembly: Assembly, about: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata that a message of this step goes on with."""
    kept = dict(about)
    if turn.step != NO_STEP:
        kept["step_id"] = _step_id(turn, index)
        kept["attempt_id"] = assembly.attempt
    return kept


def _metadata(body: Any) -> dict[str, Any]:
    """Return the `_mn_step` of a body, or of what its worker was given."""
    for _ in range(_INPUT_LEVELS):
        found = value_at(body, (METADATA,))
        if isinstance(found, dict):
            return found
        body = value_at(body, ("input",))
        if body is None:
            break
    return {}


def _artifacts(bodies: Iterable[Any]) -> list[Any]:
    return [one for body in bodies for one in plain_list(value_at(body, ("artifacts",)))]


def _names(value: Any) -> list[str]:
    if not isinstance(value, list):
        return []
    return list(dict.fromkeys(name for name in value if isinstance(name, str)))
