"""Whether a route condition can be read.

Source: bundle format 3.3.
"""

import json
import re
from typing import Any

from mnedge.bundle.problem import At
from mnedge.bundle.subject import is_text

OPERATORS = ("==", "!=", ">", ">=", "<", "<=", "contains", "in", "exists")
_EXPR = re.compile(
    r"\$\{[A-Za-z0-9_.\-]+\}\s+(?:(?:==|!=|>=|<=|>|<|contains|in)\s+\S.*|exists\s*.*)", re.DOTALL
)
_MAX_DEPTH = 64


def problem_in(condition: Any, at: At = ()) -> tuple[At, str] | None:
    """Return the place inside the condition that cannot be read, and why; None if all can."""
    if condition is None or condition == {}:
        return None
    if not isinstance(condition, dict):
        return at, "must be an object"
    if len(at) > _MAX_DEPTH:
        return at, "is nested too deeply"
    for key in ("all", "any"):
        if key in condition:
            return _problem_in_group(condition[key], (*at, key))
    if "not" in condition:
        if not isinstance(condition["not"], dict):
            return (*at, "not"), "must be an object"
        return problem_in(condition["not"], (*at, "not"))
    if "expr" in condition:
        expr = condition["expr"]
        if not isinstance(expr, str) or not _EXPR.fullmatch(expr.strip()):
            return (*at, "expr"), "must read ${path} OPERATOR VALUE"
        return None
    return _problem_in_comparison(condition, at)


def _problem_in_group(group: Any, at: At) -> tuple[At, str] | None:
    if not isinstance(group, list):
        return at, "must be a list"
    for index, part in enumerate(group):
        wrong = problem_in(part, (*at, index))
        if wrong is not None:
            return wrong
    return None


def _problem_in_comparison(condition: dict[str, Any], at: At) -> tuple[At, str] | None:
    if not is_text(condition.get("path")):
        return at, "needs one of all, any, not, expr or path"
    operator = condition.get("op", "==")
    if operator not in OPERATORS:
        return (*at, "op"), f"unknown operator {json.dumps(operator)[:40]}"
    if operator != "exists" and "value" not in condition:
        return at, f"{operator} needs a value"
    if operator == "in" and not isinstance(condition["value"], list):
        return (*at, "value"), "must be a list for `in`"
    return None
