"""The words that step definitions are written in: `mn_sdk.step_graph`, stood in for.

Laid out as a package of its own by `stand_in`; standard library only, Python 3.9 and later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ValueRef:
    """A value that is known when the job runs."""

    source: str
    path: tuple[str, ...] = ()
    step_id: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the serialized form."""
        found: dict[str, Any] = {"$ref": self.source, "path": list(self.path)}
        if self.step_id:
            found["step_id"] = self.step_id
        return found


def run_input(*path: str) -> ValueRef:
    """Return a reference into the inputs of the run."""
    return ValueRef("run_input", path)


def upstream(step_id: str, *path: str) -> ValueRef:
    """Return a reference into what an earlier step came to."""
    return ValueRef("upstream", path, step_id)


def flow_output(*path: str) -> ValueRef:
    """Return a reference into what this step's flow came to."""
    return ValueRef("flow_output", path)


@dataclass(frozen=True)
class _Contract:
    fields: Mapping[str, Any]
    hook: str = ""
    schema: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the serialized form."""
        found: dict[str, Any] = {"fields": _plain(self.fields)}
        if self.hook:
            found["hook"] = self.hook
        if self.schema:
            found["schema"] = _plain(self.schema)
        return found


class InputSpec(_Contract):
    """What a step takes."""


class OutputSpec(_Contract):
    """What a step gives."""


class Flow:
    """How the agents of a step work together."""

    def to_dict(self) -> dict[str, Any]:
        """Return the serialized form."""
        raise NotImplementedError


@dataclass(frozen=True)
class AgentCall(Flow):
    """One agent of the registry, at work once."""

    agent_id: str
    alias: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the serialized form."""
        found = {"type": "agent", "agent_id": self.agent_id}
        return {**found, "alias": self.alias} if self.alias else found


@dataclass(frozen=True)
class Sequence(Flow):
    """One after the other."""

    items: tuple[Flow, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the serialized form."""
        return {"type": "sequence", "items": _plain(self.items)}


@dataclass(frozen=True)
class Parallel(Flow):
    """All at once; goes on when all are done."""

    items: tuple[Flow, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the serialized form."""
        return {"type": "parallel", "items": _plain(self.items)}


@dataclass(frozen=True)
class Choice(Flow):
    """One of several, by a value."""

    predicate: Mapping[str, Any]
    cases: Mapping[str, Flow]
    default: Flow

    def to_dict(self) -> dict[str, Any]:
        """Return the serialized form."""
        return {
            "type": "choice",
            "predicate": _plain(self.predicate),
            "cases": _plain(self.cases),
            "default": self.default.to_dict(),
        }


@dataclass(frozen=True)
class Fallback(Flow):
    """Another way if the first fails."""

    primary: Flow
    recovery: Flow

    def to_dict(self) -> dict[str, Any]:
        """Return the serialized form."""
        return {
            "type": "fallback",
            "primary": self.primary.to_dict(),
            "recovery": self.recovery.to_dict(),
        }


@dataclass(frozen=True)
class BoundedLoop(Flow):
    """Again until a condition holds, so many times at most."""

    flow: Flow
    until: Mapping[str, Any]
    max_rounds: int
    on_exhausted: Flow | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the serialized form."""
        found: dict[str, Any] = {
            "type": "bounded_loop",
            "flow": self.flow.to_dict(),
            "until": _plain(self.until),
            "max_rounds": self.max_rounds,
        }
        if self.on_exhausted is not None:
            found["on_exhausted"] = self.on_exhausted.to_dict()
        return found


@dataclass(frozen=True)
class StepSpec:
    """A step: what it takes, how it works, what it gives."""

    input: InputSpec
    flow: Flow
    output: OutputSpec
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the serialized form."""
        return {
            "input": self.input.to_dict(),
            "flow": self.flow.to_dict(),
            "output": self.output.to_dict(),
            "metadata": _plain(self.metadata),
        }


def agent(agent_id: str, *, as_: str = "") -> AgentCall:
    """Return a call of an agent; `as_` names it where it is called more than once."""
    return AgentCall(agent_id, as_)


def sequence(*items: Flow) -> Sequence:
    """Return a flow of items one after the other."""
    return Sequence(items)


def parallel(*items: Flow) -> Parallel:
    """Return a flow of items side by side."""
    return Parallel(items)


def choice(predicate: Mapping[str, Any], cases: Mapping[str, Flow], default: Flow) -> Choice:
    """Return a flow that goes one of several ways."""
    return Choice(predicate, cases, default)


def fallback(primary: Flow, recovery: Flow) -> Fallback:
    """Return a flow with a way out."""
    return Fallback(primary, recovery)


def bounded_loop(
    flow: Flow, *, until: Mapping[str, Any], max_rounds: int, on_exhausted: Flow | None = None
) -> BoundedLoop:
    """Return a flow that is repeated."""
    return BoundedLoop(flow, until, max_rounds, on_exhausted)


def predicate(path: str, op: str = "==", value: Any = True) -> dict[str, Any]:
    """Return a condition."""
    return {"path": path, "op": op, "value": value}


def _plain(value: Any) -> Any:
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {str(name): _plain(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(member) for member in value]
    return value
