"""Rules about agent templates."""

from collections.abc import Iterator

from mnedge.bundle.rules.agents import name_of, shown
from mnedge.bundle.rules.registry import ERROR, Found, rule
from mnedge.bundle.subject import Subject
from mnedge.bundle.templates import is_pinned


@rule(
    "T-01",
    ERROR,
    "*",
    "template.version",
    "a template reference must pin a version",
    help="write <template>@<version>, not latest",
)
def templates_are_pinned(subject: Subject) -> Iterator[Found]:
    """Yield each `uses` without an exact version."""
    for agent in subject.agents:
        uses = agent.raw.get("uses")
        if uses is not None and not is_pinned(uses):
            yield Found(
                at=(*agent.at, "uses"),
                message=f"template {shown(uses)} of {name_of(agent)} must pin a version",
                expected="<template>@<version>",
                actual=uses,
            )


@rule(
    "T-02",
    ERROR,
    "*",
    "template.unknown",
    "agent template not found",
    help="give the agent agent_type and config of its own, or use a built-in template",
)
def templates_are_known(subject: Subject) -> Iterator[Found]:
    """Yield each agent that only an unknown template could complete."""
    yield from _template_problems(subject, "T-02")


@rule(
    "T-03",
    ERROR,
    "*",
    "template.input_missing",
    "missing required template fields",
    help="add the fields to `with`",
)
def template_inputs_are_given(subject: Subject) -> Iterator[Found]:
    """Yield each agent whose template needs more than `with` gives."""
    yield from _template_problems(subject, "T-03")


def _template_problems(subject: Subject, rule_id: str) -> Iterator[Found]:
    for agent in subject.agents:
        if agent.template_problem is not None and agent.template_problem[0] == rule_id:
            yield Found(
                at=(*agent.at, "uses"),
                message=f"{agent.label}: {agent.template_problem[1]}",
                actual=agent.raw.get("uses"),
            )
