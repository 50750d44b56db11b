"""From what a runner brings back to what the engine is told. Pure.

Source: worker contract 2.7, 3.8.
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from mnedge.execution.environment import names_in
from mnedge.execution.leases import Lease
from mnedge.execution.output import hidden
from mnedge.model.redaction import worker_secrets
from mnedge.ports import Finished, Launch, Runner


def secrets_of(*environments: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values to hide in whatever a worker says, each also as it stands in JSON."""
    forms: set[str] = set()
    for environment in environments:
        for value in worker_secrets(environment):
            forms |= {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def worker_secrets_in(
    environ: Mapping[str, str], config: Mapping[str, Any], environment: Mapping[str, str]
) -> tuple[str, ...]:
    """Return what to hide of a worker: the host's secrets, and those its manifest sets or passes.

    What the runtime itself says (an idempotency key, for example) is no secret.
    """
    declared = config.get("environment")
    names = [*(declared if isinstance(declared, dict) else ()), *names_in(config.get("pass_env"))]
    return secrets_of(environ, {name: environment[name] for name in names if name in environment})


def result_map(
    finished: Finished, launch: Launch, runner: Runner, node: str, secrets: tuple[str, ...]
) -> dict[str, Any]:
    """Return the runner's result map; if there is no exit code, an error map.

    `raw_output` is left out (it is stdout and stderr again), `logs` is stderr.
    """
    stdout = hidden(finished.stdout.decode(errors="replace"), secrets)
    stderr = hidden(finished.stderr.decode(errors="replace"), secrets)
    if finished.error is not None:
        said = {"stdout": stdout, "stderr": stderr}
        return {
            "error": hidden(finished.error, secrets),
            **{key: text for key, text in said.items() if text},
            **finished.extra,
        }
    return {
        "sandbox_name": launch.name,
        "remote_dir": launch.workdir,
        "exit_code": finished.exit_code,
        "stdout": stdout,
        "stderr": stderr,
        "logs": stderr,
        "runner": runner.name,
        "node_name": node,
        "runner_exit_code": finished.exit_code,
        "usage": {"elapsed_s": round(finished.elapsed_s, 6), **finished.rusage},
        **finished.extra,
    }


def truncations(
    finished: Finished, launch: Launch, *, stdout_is_read: bool
) -> list[dict[str, Any]]:
    """Return what to tell of each stream that was over its cap.

    `stdout_is_read`: what the worker says is looked for there, not in a file.
    """
    told = []
    for stream, content in (("stdout", finished.stdout), ("stderr", finished.stderr)):
        dropped_bytes = finished.dropped_bytes.get(stream, 0)
        if dropped_bytes <= 0:
            continue
        cap_bytes = launch.max_output_bytes
        text = f"{stream} is cut at {cap_bytes} bytes, {dropped_bytes} more are dropped"
        about: dict[str, Any] = {
            "stream": stream,
            "kept_bytes": min(len(content), cap_bytes),
            "dropped_bytes": dropped_bytes,
            "cap_bytes": cap_bytes,
            "hint": "raise max_output_bytes in the agent's config",
        }
        if stream == "stdout" and stdout_is_read and content.lstrip().startswith(b"{"):
            text += "; it began as a JSON instruction and is read as text"
            about["instruction_lost"] = True
        told.append({"message": f"{text}; {about['hint']}", **about})
    return told


def lease_map(lease: Lease) -> dict[str, Any]:
    """Return the `lease` member of a result."""
    shown: dict[str, Any] = msgspec.to_builtins(lease)
    return shown
