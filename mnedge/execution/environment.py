"""The environment and the command of a worker. Pure.

Source: worker contract 3.4 to 3.6, bundle format 3.4.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from mnedge.execution.refusal import RefusedError

ALLOWED = re.compile(
    r"PATH|HOME|LANG|LC_\w+|TMPDIR|TZ|USER|PYTHON\w*|VIRTUAL_ENV|LD_LIBRARY_PATH"
    r"|MN_\w+|LLM_\w+|LITELLM_\w+"
)
"""Names of the host's environment that every worker sees."""
OWN = re.compile(r"MNEDGE_\w+|_PYI_\w+|_MEI\w+")
"""Names that are about this process and mean nothing, or something wrong, to a worker."""
WORKFLOW_NAMES = {
    "run_id": "MN_WORKFLOW_RUN_ID",
    "step_id": "MN_WORKFLOW_STEP_ID",
    "attempt_id": "MN_WORKFLOW_ATTEMPT_ID",
    "attempt": "MN_WORKFLOW_ATTEMPT",
    "deadline_at": "MN_WORKFLOW_DEADLINE_AT",
    "heartbeat_deadline_at": "MN_WORKFLOW_HEARTBEAT_DEADLINE_AT",
    "idempotency_key": "MN_WORKFLOW_IDEMPOTENCY_KEY",
    "graph_revision": "MN_WORKFLOW_GRAPH_REVISION",
}
"""Member of the context's `workflow` → variable; nothing the manifest says may hide these."""
WORKFLOW_EXTRA_NAMES = {
    "template_id": "MN_WORKFLOW_TEMPLATE_ID",
    "region_id": "MN_WORKFLOW_REGION_ID",
}
DEFAULT_MAX_COMMAND_BYTES = 32768
NO_COMMAND = ("echo", "No command configured for host-local worker")
VARIABLE_LIMIT_BYTES = 96 * 1024
"""Linux refuses to start a program with a variable over 128 KiB."""

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_DOUBLE_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_PYTHON_NAME = re.compile(r"python(3(\.\d+)?)?")


def text_of(value: Any) -> str:
    """Return a manifest's scalar as the text a worker gets."""
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case _:
            return msgspec.json.encode(value).decode()


def host_environment(environ: Mapping[str, str], *, inherit: bool = False) -> dict[str, str]:
    """Return what a worker sees of the host's environment: the allow-list, or with `inherit` all.

    Libraries that a frozen program (our parent, say) brought for itself are none of a worker's.
    """
    seen = {
        name: value
        for name, value in environ.items()
        if not OWN.fullmatch(name) and (inherit or ALLOWED.fullmatch(name))
    }
    original = environ.get("LD_LIBRARY_PATH_ORIG")
    seen.pop("LD_LIBRARY_PATH_ORIG", None)
    if original is not None:
        seen.pop("LD_LIBRARY_PATH", None)
    if original:
        seen["LD_LIBRARY_PATH"] = original
    return seen


def both_prefixes(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the `MN_` variables under the older prefix as well, whole JSON documents left out."""
    older = {
        f"MIRROR_NEURON_{name[3:]}": value
        for name, value in variables.items()
        if name.startswith("MN_") and not name.endswith("_JSON")
    }
    return {**variables, **older}


def workflow_variables(workflow: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables of a workflow attempt that have a value."""
    names = WORKFLOW_NAMES | WORKFLOW_EXTRA_NAMES
    return {
        variable: text_of(workflow[member])
        for member, variable in names.items()
        if workflow.get(member) is not None
    }


def worker_environment(
    host: Mapping[str, str],
    runtime: Mapping[str, str],
    config: Mapping[str, Any],
    environ: Mapping[str, str],
    identity: Mapping[str, str],
) -> dict[str, str]:
    """Return the whole environment of a worker; later sources win.

    Order: what it sees of the host, what the runtime says, `environment` of the agent's config,
    `pass_env` copied from `environ`, and identity, which nothing may hide.
    """
    merged = {**host, **runtime}
    declared = config.get("environment")
    if isinstance(declared, Mapping):
        merged.update((str(name), text_of(value)) for name, value in declared.items())
    passed = config.get("pass_env")
    if isinstance(passed, list):
        merged.update((name, environ[name]) for name in passed if name in environ)
    if "TRACEPARENT" in identity:
        merged.pop("TRACESTATE", None)  # it belongs to the parent it came with
    merged.update(identity)
    merged.pop("", None)
    return {name: value for name, value in merged.items() if "=" not in name}


def substituted(text: str, words: Mapping[str, str], *, double: bool) -> str:
    """Return the text with `{word}` replaced; with `double`, `{{word}}` too. Others stay."""
    if double:
        text = _DOUBLE_PLACEHOLDER.sub(lambda found: words.get(found[1], found[0]), text)
    return _PLACEHOLDER.sub(lambda found: words.get(found[1], found[0]), text)


def worker_command(
    config: Mapping[str, Any],
    words: Mapping[str, str],
    *,
    double: bool = False,
    max_bytes: int = DEFAULT_MAX_COMMAND_BYTES,
) -> tuple[str, ...] | str:
    """Return the command of an agent's config with its placeholders replaced.

    Raises: RefusedError if it is longer than `max_bytes`.
    """
    declared = config.get("command")
    command: tuple[str, ...] | str
    if isinstance(declared, str) and declared.strip():
        command = substituted(declared, words, double=double)
    elif isinstance(declared, list) and declared:
        command = tuple(substituted(text_of(item), words, double=double) for item in declared)
    else:
        command = NO_COMMAND
    whole = command if isinstance(command, str) else " ".join(command)
    if len(whole.encode(errors="surrogateescape")) > max_bytes:
        raise RefusedError("command exceeds MN_MAX_COMMAND_LENGTH", max_length=max_bytes)
    return command


def python_named_by(command: tuple[str, ...] | str) -> str | None:
    """Return the interpreter that a command calls by a bare name, as `python3` or `python3.11`."""
    first = command.split(maxsplit=1)[0:1] if isinstance(command, str) else command[:1]
    named = bool(first) and _PYTHON_NAME.fullmatch(first[0])
    return first[0] if named else None


def with_python(command: tuple[str, ...] | str, path: str) -> tuple[str, ...] | str:
    """Return the command with its first word, an interpreter's name, replaced by a path."""
    if isinstance(command, str):
        _, *rest = command.split(maxsplit=1)
        return " ".join([shlex.quote(path), *rest])
    return (path, *command[1:])


def positive(value: Any) -> float | None:
    """Return a number greater than zero, else None; booleans are no numbers here."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return None
    return float(value)


def whole(value: Any, default: int, *, least: int = 1) -> int:
    """Return a whole number of at least `least`, else the default."""
    return value if type(value) is int and value >= least else default


def truthy(value: Any) -> bool:
    """Tell whether a manifest's switch is on: true, "true", "1" or "yes"."""
    return value is True or (isinstance(value, str) and value.lower() in {"true", "1", "yes"})


def names_in(value: Any) -> Sequence[str]:
    """Return the texts of a manifest's list, without what is no text."""
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []
