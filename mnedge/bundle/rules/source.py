"""Rules about authoring sources: what their expansion finds."""

from collections.abc import Iterator
from typing import Any

from mnedge.bundle.problem import dotted
from mnedge.bundle.rules.registry import ERROR, WARNING, Check, Found, rule
from mnedge.bundle.subject import Subject

_GISTS: dict[str, tuple[str, str, str]] = {
    "S-01": (
        "source.identity",
        "identity is no object, or id or name is missing",
        'write "identity": {"id": "<the folder>", "name": "…"}',
    ),
    "S-02": (
        "source.workflow",
        "workflow is no object, or its steps are missing or have no ids",
        'write "workflow": {"steps": [{"id": "read", "run": {"agent": "reader"}, "needs": []}]}',
    ),
    "S-03": (
        "source.needs",
        "needs is malformed, names no step, or goes in a circle",
        "list the ids of the steps that come before",
    ),
    "S-04": (
        "source.run",
        "run is malformed",
        "give run exactly one target: definition, or handler and/or agent",
    ),
    "S-05": (
        "source.manifest_defaults",
        "config.manifest_defaults is malformed, or a path is not in the manifest",
        'list dotted paths, or {"from": …, "to": …}',
    ),
    "S-06": (
        "source.file",
        "a file that a sentinel names is outside the bundle, missing or no JSON",
        'name a file inside the bundle: {"$file": "prompts/x.md"}',
    ),
    "S-07": (
        "source.dynamic",
        "a dynamic template is malformed",
        "give its run exactly one of handler and agent",
    ),
    "S-08": (
        "source.live_inputs",
        "a live input is malformed",
        'write {"<id>": {"entrypoint", "message_type", "schema": {"type": "object"}}}',
    ),
    "S-09": (
        "source.definition",
        "a step definition cannot be loaded, or is malformed",
        "let the module export STEP, and import nothing that is slow or absent",
    ),
}


def _declare(rule_id: str, severity: str, code: str, gist: str, help_: str) -> None:
    def check(subject: Subject) -> Iterator[Found]:
        """Yield what the expansion found."""
        for problem in subject.source_problems:
            if problem.rule == rule_id:
                place = dotted(problem.at)
                told: dict[str, Any] = {"severity": problem.severity, "help": problem.hint}
                yield Found(
                    at=problem.at,
                    message=problem.message or place,
                    expected=problem.expected,
                    actual=problem.actual,
                    **told,
                )

    checked: Check = check
    rule(rule_id, severity, "S", code, gist, help=help_)(checked)


for _rule_id, (_code, _gist, _help) in _GISTS.items():
    _declare(_rule_id, ERROR, _code, _gist, _help)
_declare(
    "S-20",
    WARNING,
    "source.capability",
    "a step requires a capability that nobody provides; the need is dropped",
    "let a step provide it, or take the requirement out",
)
