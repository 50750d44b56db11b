"""How a rule is declared, and how all of them are run.

A rule is one generator function under `@rule(...)`. It is handed a `Subject` and yields a `Found`
for every place that breaks it. Rules never see each other; a rule that meets a value of the wrong
type leaves it to the rule about that type.
"""

from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct, structs

from mnedge.bundle.problem import At, Problem, Severity
from mnedge.bundle.subject import Subject

ERROR = "E"
"""An error in every profile."""
STRICT = "E/s"
"""The standard says must, but published bundles differ: an error only in `strict`."""
WARNING = "W"
"""A warning in every profile."""
RUN = "X"
"""A warning when validating, an error when the bundle is to run."""

GROUPS = {
    "bundle": "Files of the bundle",
    "document": "The manifest as a document",
    "manifest": "Root of the manifest",
    "metadata": "Metadata",
    "graph": "Entrypoints, edges and seeds",
    "agent": "Agents",
    "template": "Agent templates",
    "completion": "Completion",
    "workflow": "Steps",
    "dynamic": "Graphs that change while the job runs",
    "runtime": "Runtime declarations",
    "config": "Configuration",
    "input": "Inputs",
    "source": "Authoring sources",
    "runner": "Running here",
    "dependency": "Dependencies",
}
_OF_FILES = ("bundle", "document")
"""Groups that still make sense when a document cannot be read."""
_OF_THE_GRAPH = ("graph", "agent", "template", "completion", "workflow", "dynamic")
"""Groups that look at agents, edges and steps: in a source's expansion, if there is one."""
EXPANSION = "manifest.json (expanded)"
PROFILES = ("default", "strict")

Check = Callable[[Subject], Iterator["Found"]]
Wrong = Iterator[tuple[At, str, Any]]
"""Place below the part looked at, reason, what is expected."""


class Found(Struct, frozen=True, kw_only=True):
    """One place that breaks a rule. What is left out comes from the rule."""

    at: At = ()
    message: str = ""
    help: str = ""
    file: str = "manifest.json"
    expected: Any = None
    actual: Any = None
    severity: str = ""
    """When this place weighs more or less than the rule usually does."""
    line: int | None = None
    column: int | None = None


class Rule(Struct, frozen=True, kw_only=True):
    """A declared rule."""

    rule_id: str
    severity: str
    generations: str
    """Letters of the generations it looks at."""
    code: str
    gist: str
    help: str
    check: Check

    @property
    def group(self) -> str:
        """First part of the code."""
        return self.code.partition(".")[0]


_RULES: dict[str, Rule] = {}


def rule(
    rule_id: str,
    severity: str,
    generations: str,
    code: str,
    gist: str,
    *,
    help: str,  # noqa: A002
) -> Callable[[Check], Check]:
    """Declare the decorated generator as a rule. `*` stands for all generations."""

    def declare(check: Check) -> Check:
        if rule_id in _RULES:
            raise ValueError(f"two rules are called {rule_id}")
        letters = "ABCS" if generations == "*" else generations
        declared = Rule(
            rule_id=rule_id,
            severity=severity,
            generations=letters,
            code=code,
            gist=gist,
            help=help,
            check=check,
        )
        if declared.group not in GROUPS:
            raise ValueError(f"rule {rule_id}: no group is called {declared.group}")
        _RULES[rule_id] = declared
        return check

    return declare


def declared() -> list[Rule]:
    """Return every rule that has been imported, by group, then by id."""
    order = list(GROUPS)
    return sorted(
        _RULES.values(),
        key=lambda item: (order.index(item.group), int(item.rule_id.rpartition("-")[2])),
    )


def run(rules: list[Rule], subject: Subject, profile: str) -> list[Problem]:
    """Return what the rules find, errors first, then in the order of the rules."""
    letter = subject.generation.letter
    groups = set(GROUPS if subject.manifest_is_object else _OF_FILES)
    if not isinstance(subject.config_document.value, dict):
        groups.discard("config")
    if letter == "S" and (not subject.graph or subject.unchecked):
        groups -= set(_OF_THE_GRAPH)
    problems = [
        as_problem(item, _placed(item, found) if letter == "S" else found, profile)
        for item in rules
        if letter in item.generations and item.group in groups
        for found in item.check(subject)
    ]
    return sorted(problems, key=lambda problem: problem.severity is not Severity.ERROR)


def _placed(item: Rule, found: Found) -> Found:
    """Return the finding, its place in the expansion of a source if it looked at that."""
    if item.group in _OF_THE_GRAPH and found.file == "manifest.json":
        return structs.replace(found, file=EXPANSION)
    return found


def as_problem(item: Rule, found: Found, profile: str) -> Problem:
    """Return what is shown for one finding."""
    weight = found.severity or item.severity
    is_error = weight == ERROR or (weight == STRICT and profile == "strict")
    return Problem(
        rule=item.rule_id,
        code=item.code,
        severity=Severity.ERROR if is_error else Severity.WARNING,
        message=found.message or item.gist,
        help=found.help or item.help,
        file=found.file,
        at=found.at,
        expected=found.expected,
        actual=bounded(found.actual),
        line=found.line,
        column=found.column,
        strict=weight == STRICT,
    )


def bounded(value: Any) -> Any:
    """Return the value if it is small, else only what kind of thing it is."""
    if isinstance(value, dict):
        return f"an object with {len(value)} members"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, str) and len(value) > 200:
        return value[:200] + "…"
    return value


def each(at: At, wrong: Wrong, document: Any) -> Iterator[Found]:
    """Yield a finding for each wrong place below `at`, where `document` stands."""
    for below, reason, expected in wrong:
        path = ".".join(str(step) for step in (*at, *below))
        yield Found(
            at=(*at, *below),
            message=f"{path} {reason}",
            expected=expected,
            actual=value_at(document, below),
        )


def value_at(document: Any, at: At) -> Any:
    """Return what stands at a place, or None if nothing does."""
    found = document
    for step in at:
        if isinstance(found, dict):
            found = found.get(step)
        elif isinstance(found, list) and isinstance(step, int) and step < len(found):
            found = found[step]
        else:
            return None
    return found
