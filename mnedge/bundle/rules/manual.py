"""The page of the manual that lists every rule."""

from itertools import groupby

from mnedge.bundle.rules.all import RULES
from mnedge.bundle.rules.registry import ERROR, GROUPS, RUN, STRICT, WARNING, Rule

_HEAD = """# Rules

What `mnedge blueprint validate` checks, and `mnedge blueprint run` before anything starts. This
page is written by `python -m mnedge.bundle.rules`; change the rules, not the page.

A finding names its rule, the file, the place inside it, what was expected and how to mend it. All
findings are told at once. Severities:

| Severity | Means |
|---|---|
"""
_MEANINGS = {
    ERROR: "error in every profile; the bundle is refused",
    STRICT: "error in the profile `strict`, warning in the profile `default`",
    WARNING: "warning in every profile",
    RUN: "warning when validating, error when running",
}
_GENERATIONS = """
A rule may weigh a single finding less or more than it usually does. Generations: A has root
`nodes` and `edges`; B has `flow`; C has `workflow` and `agents`; S is an authoring source.
"""


_LAUNCH = """
## When a run starts

These look at what only a run needs. Validating does not tell them; running refuses.

| Rule | Code | What is wrong | How to mend it |
|---|---|---|---|
| B-01 | `not_found` | there is no folder or archive at the path | name one |
| C-50 | `config.layer_invalid` | a config that the environment names is unusable | mend it |
| I-05 | `input.source` | the adapter's source is missing, or no JSON object | mend `inputs` |
| I-06 | `input.rule_failed` | an input does not satisfy a rule | give it a value that fits |
| N-33 | `agent.upload_missing` | an upload is not in payloads/ | add it below payloads/ |
"""


def text() -> str:
    """Return the page."""
    page = _HEAD
    page += "".join(f"| {severity} | {meaning} |\n" for severity, meaning in _MEANINGS.items())
    page += _GENERATIONS
    for group, rules in groupby(RULES, key=lambda item: item.group):
        page += f"\n## {GROUPS[group]}\n\n"
        page += "| Rule | Severity | Generations | Code | What is wrong | How to mend it |\n"
        page += "|---|---|---|---|---|---|\n"
        page += "".join(_row(item) for item in rules)
    return page + _LAUNCH


def _row(item: Rule) -> str:
    generations = "all" if item.generations == "ABCS" else " ".join(item.generations)
    cells = (item.rule_id, item.severity, generations, f"`{item.code}`", item.gist, item.help)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
