"""The file by which a step of the SDK hands its result over, instead of printing it.

Only for commands that run the SDK's step runtime in a shared storage. The file holds the result, or
says where in that storage it lies. Source: worker contract 3.9.
"""

import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from mnedge.execution.output import decoded, hidden
from mnedge.execution.staging import folder_name
from mnedge.model.commands import RunAttempt

VARIABLE = "MN_STEP_RESULT_FILE"
STORAGE = "MN_JOB_SHARED_STORAGE_ROOT"
STEP_RUNTIME = "mn_sdk.step_runtime"
LIMIT_BYTES = 64 << 20


class NotReadyError(Exception):
    """There is no result, or not all of it; the text says which file was looked for."""


class _Reference(Struct):
    relative_path: str
    sha256: str
    size_bytes: int


class ResultFile(Struct, frozen=True):
    """Where one run's result is expected."""

    root: str
    path: str

    def prepare(self) -> None:
        """Make its folder; what an earlier run left under its name is removed.

        Raises: OSError.
        """
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        Path(self.path).unlink(missing_ok=True)

    def read(self, secrets: tuple[str, ...]) -> dict[str, Any]:
        """Return the result, without secrets.

        Raises: NotReadyError.
        """
        content = _read(self.path)
        value = _object(content, self.path, secrets)
        reference = value.get("result_ref")
        if set(value) != {"result_ref"} or not isinstance(reference, dict):
            return value
        return self._referred(reference, secrets)

    def _referred(self, reference: dict[str, Any], secrets: tuple[str, ...]) -> dict[str, Any]:
        try:
            known = msgspec.convert(reference, _Reference)
        except msgspec.ValidationError as error:
            raise NotReadyError(f"{self.path}: {error}") from None
        root = os.path.realpath(self.root)
        path = os.path.realpath(os.path.join(root, known.relative_path))
        if not path.startswith(root + "/"):
            raise NotReadyError(f"{known.relative_path} leads out of the shared storage")
        content = _read(path)
        if len(content) != known.size_bytes or sha256(content).hexdigest() != known.sha256:
            raise NotReadyError(f"{path} is not what {self.path} promises")
        return _object(content, path, secrets)


def result_file(
    config: Mapping[str, Any], run_id: str, command: RunAttempt, number: int
) -> ResultFile | None:
    """Return where the result of this run of an attempt goes; None if the worker prints it."""
    declared = config.get("environment")
    root = declared.get(STORAGE) if isinstance(declared, Mapping) else None
    if not isinstance(root, str) or not root or not mentions(config.get("command"), STEP_RUNTIME):
        return None
    node = folder_name(command.agent_id)
    place = f"{root}/outputs/runs/{folder_name(run_id)}/artifacts/results/{node}"
    name = f"{folder_name(command.attempt_id)}-{command.launch}-{number}.json"
    return ResultFile(root, f"{place}/{name}")


def mentions(command: Any, word: str) -> bool:
    """Tell whether a manifest's command contains the word."""
    parts = command if isinstance(command, list) else [command]
    return any(isinstance(part, str) and word in part for part in parts)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise NotReadyError(f"{path}: {error.strerror or error}") from None
    if len(content) > LIMIT_BYTES:
        raise NotReadyError(f"{path} is larger than {LIMIT_BYTES} bytes")
    return content


def _object(content: bytes, path: str, secrets: tuple[str, ...]) -> dict[str, Any]:
    value = decoded(hidden(content.decode(errors="replace"), secrets))
    if not isinstance(value, dict):
        raise NotReadyError(f"{path} holds no JSON object")
    return value
