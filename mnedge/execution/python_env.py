"""Virtual environments for workers, built once and shared, and the interpreter a command means.

An environment's folder is named by everything it was made from. `<key>.lock/` is held while it is
built, `<key>/.ready` marks it usable. Source: worker contract 3.6, 3.7.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import trio
from msgspec import Struct

from mnedge.config.settings import Config
from mnedge.execution import sdk
from mnedge.execution.environment import python_named_by, with_python
from mnedge.execution.folder_lock import locked, remove
from mnedge.execution.interpreters import (
    ALTERNATIVES,
    OLDEST,
    UNVERSIONED,
    Brought,
    Interpreter,
    found,
)
from mnedge.execution.refusal import RefusedError
from mnedge.model.message import iso_ms
from mnedge.ports import Clock, Finished, Launch, Runner

BASES = ("python3.11", "python3", "python")
"""Where an environment's interpreter is looked for first: one that reports 3.11."""
SETUP_TIMEOUT_MS = 600_000
OUTPUT_BYTES = 4000
READY, RESOURCE = ".ready", ".mn-blueprint-resource.json"
_ASK_VERSION = "import sys; print('Python %d.%d.%d' % sys.version_info[:3])"
_FOR_PIP = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


class Wanted(Struct, frozen=True):
    """What an environment is to contain."""

    blueprint_id: str
    requirements_path: str | None
    requirements: bytes
    packages: list[str]

    def key(self, version: str) -> str:
        """Return the name of the environment's folder."""
        parts = (
            b"mirror-neuron-python-env-v2",
            self.blueprint_id.encode(),
            version.encode(),
            self.requirements,
            json.dumps(self.packages, separators=(",", ":"), ensure_ascii=False).encode(),
        )
        return sha256(b"\0".join(parts)).hexdigest()


class PythonEnvironments:
    """Finds interpreters and keeps environments; both are run through `runner`."""

    def __init__(
        self,
        config: Config,
        runner: Runner | None,
        host: Mapping[str, str],
        brought: Brought | None = None,
        *,
        now: Clock,
    ) -> None:
        self._config = config
        self._runner = runner
        self._host = host
        self._brought = brought
        self._now = now
        self._known: dict[str, Interpreter | None] = {}
        self._with_sdk: dict[tuple[str, str], bool] = {}
        self._building: dict[str, trio.Lock] = {}
        named = config.environ.get("MN_BLUEPRINT_PYTHON_ENVS_DIR")
        self._root = Path(named) if named else config.home / "cache" / "blueprint-python-envs"

    async def variables(
        self, config: Mapping[str, Any], payloads: str | None, *, blueprint_id: str, job_id: str
    ) -> dict[str, str]:
        """Return what puts a worker into its environment, which is ready then; {} without one.

        Raises: RefusedError if it is declared wrongly or cannot be made.
        """
        wanted = wanted_by(config, payloads, blueprint_id)
        if wanted is None:
            return {}
        made = _made_already(config)
        if made is not None:
            return self._inside(made)
        base = await self._base(job_id)
        key = wanted.key(base.version)
        folder = self._root / key
        lock = self._building.setdefault(key, trio.Lock())
        async with lock:
            if not _usable(folder):
                await self._build(folder, wanted, base, payloads or "/", job_id)
        self._note_use(folder, key, wanted, base)
        return self._inside(folder)

    def _inside(self, folder: Path) -> dict[str, str]:
        return {
            "VIRTUAL_ENV": str(folder),
            "MN_PYTHON_ENV": str(folder),
            "PATH": f"{folder}/bin:{self._host.get('PATH', os.defpath)}",
        }

    async def settle(
        self, command: tuple[str, ...] | str, environment: Mapping[str, str], job_id: str
    ) -> tuple[str, ...] | str:
        """Return the command with an interpreter that exists, if it calls Python by a bare name.

        In an environment it is that one's; else a name that is not there means another, new enough.
        """
        name = python_named_by(command)
        if name is not None:
            path = await self._meant(name, environment, job_id)
            command = command if path is None else with_python(command, path)
        if isinstance(command, str) and self._brought is not None:
            return self._brought.within(command)
        return command

    async def _meant(self, name: str, environment: Mapping[str, str], job_id: str) -> str | None:
        """Return the interpreter that stands in for the one that was named; None if none does."""
        if folder := environment.get("MN_PYTHON_ENV"):
            return f"{folder}/bin/python"
        if found(name, environment) is not None:
            if self._brought is None or name not in UNVERSIONED:
                return None
            own = await self._interpreter(name, environment, job_id)
            if own is not None and own.is_new_enough:
                return None
        other = await self._newest(environment, job_id)
        return None if other is None else other.path

    async def _newest(self, environment: Mapping[str, str], job_id: str) -> Interpreter | None:
        """Return an interpreter that payloads may expect, the machine's own before ours."""
        for name in ALTERNATIVES:
            other = await self._interpreter(name, environment, job_id)
            if other is not None and other.is_new_enough:
                return other
        return None if self._brought is None else await self._at(self._brought.path, job_id)

    async def has_sdk(
        self, command: tuple[str, ...] | str, environment: Mapping[str, str], job_id: str
    ) -> bool:
        """Tell whether the interpreter of a settled command can import the SDK by itself."""
        first = command[0] if isinstance(command, tuple) else command.split(maxsplit=1)[0]
        called = os.path.basename(first).startswith("python")
        path = found(first if called else "python3", environment)
        if path is None:
            return True  # nothing could be said better than what starting it will say
        asked = (path, environment.get("PYTHONPATH", ""))
        if asked not in self._with_sdk:
            given = {"PYTHONPATH": asked[1]} if asked[1] else {}
            answer = await self._execute((path, "-c", sdk.ASK), "/", job_id, **given)
            self._with_sdk[asked] = answer.exit_code == 0
        return self._with_sdk[asked]

    async def _base(self, job_id: str) -> Interpreter:
        named = [await self._interpreter(name, self._host, job_id) for name in BASES]
        for one in named:
            if one is not None and one.number[:2] == OLDEST:
                return one
        other = await self._newest(self._host, job_id)
        if other is not None:
            return other
        raise RefusedError("python_environment needs a Python 3.11 or newer on PATH")

    async def _interpreter(
        self, name: str, environment: Mapping[str, str], job_id: str
    ) -> Interpreter | None:
        path = found(name, environment)
        return None if path is None else await self._at(path, job_id)

    async def _at(self, path: str, job_id: str) -> Interpreter | None:
        if path not in self._known:
            asked = await self._execute((path, "-I", "-S", "-c", _ASK_VERSION), "/", job_id)
            version = asked.stdout.decode(errors="replace").strip()
            good = asked.exit_code == 0 and version.startswith("Python ")
            self._known[path] = Interpreter(path, version) if good else None
        return self._known[path]

    async def _build(
        self, folder: Path, wanted: Wanted, base: Interpreter, payloads: str, job_id: str
    ) -> None:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            lock = folder.with_name(f"{folder.name}.lock")
            async with locked(lock, self._timeout_s()):
                if _usable(folder):
                    return
                try:
                    await self._make(folder, wanted, base, payloads, job_id)
                except BaseException:
                    with trio.CancelScope(shield=True):
                        await trio.to_thread.run_sync(remove, folder)
                    raise
        except OSError as error:
            raise RefusedError(f"python_environment cannot be made: {error}") from error

    async def _make(
        self, folder: Path, wanted: Wanted, base: Interpreter, payloads: str, job_id: str
    ) -> None:
        await trio.to_thread.run_sync(remove, folder)
        made = await self._execute((base.path, "-m", "venv", str(folder)), "/", job_id)
        _check("create python_environment", made)
        arguments: list[str] = []
        beside = payloads
        if wanted.requirements_path is not None:
            (folder / "requirements.txt").write_bytes(wanted.requirements)
            arguments += ["-r", str(folder / "requirements.txt")]
            beside = os.path.dirname(os.path.join(payloads, wanted.requirements_path))
        install = (f"{folder}/bin/python", "-m", "pip", "install", *arguments, *wanted.packages)
        installed = await self._execute(install, beside, job_id)
        _check("install python_environment dependencies", installed)
        _replace(folder / READY, f"{iso_ms(self._now())}\n".encode())

    def _note_use(self, folder: Path, key: str, wanted: Wanted, base: Interpreter) -> None:
        listed = None
        if wanted.requirements_path is not None:
            digest = sha256(wanted.requirements).hexdigest()
            listed = {"path": wanted.requirements_path, "sha256": digest}
        resource = {
            "schema_version": 1,
            "resource_type": "python_venv",
            "blueprint_id": wanted.blueprint_id,
            "fingerprint": key,
            "python_version": base.version,
            "requirements": listed,
            "packages": wanted.packages,
            "last_used_at": iso_ms(self._now()),
        }
        with suppress(OSError):  # it is for whoever cleans up; the environment works without it
            _replace(folder / RESOURCE, json.dumps(resource, indent=2).encode())

    async def _execute(
        self, command: tuple[str, ...], directory: str, job_id: str, **more: str
    ) -> Finished:
        if self._runner is None:
            raise RefusedError("python_environment needs the host_local runner")
        for_pip = {
            name: value
            for name, value in self._config.environ.items()
            if name.startswith("PIP_") or name.upper() in _FOR_PIP
        }
        launch = Launch(
            token=f"{job_id}/python_environment/1",
            name="python_environment",
            command=command,
            workspace=directory,
            workdir=directory,
            environment={
                **self._host,
                **for_pip,
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                "PIP_NO_INPUT": "1",
                **more,
            },
            timeout_s=self._timeout_s(),
            max_output_bytes=1 << 16,
        )
        return await self._runner.run(launch, lambda _: False)

    def _timeout_s(self) -> float:
        text = self._config.environ.get("MN_BLUEPRINT_PYTHON_ENV_SETUP_TIMEOUT_MS", "")
        return (int(text) if text.isdecimal() and int(text) > 0 else SETUP_TIMEOUT_MS) / 1000


def wanted_by(config: Mapping[str, Any], payloads: str | None, blueprint_id: str) -> Wanted | None:
    """Return what an agent's config asks for; None if it asks for no environment.

    Raises: RefusedError if it is declared wrongly.
    """
    declared = config.get("python_environment")
    if declared is None:
        return None
    if not isinstance(declared, dict):
        raise RefusedError("python_environment must be an object")
    path = _requirements_path(declared.get("requirements"))
    packages = declared.get("packages")
    packages = [] if packages is None else packages
    if not isinstance(packages, list) or not all(isinstance(p, str) and p for p in packages):
        raise RefusedError("python_environment packages must be a list of non-empty strings")
    if path is None and not packages:
        return None
    return Wanted(
        blueprint_id=_blueprint_id(config, blueprint_id),
        requirements_path=path,
        requirements=b"" if path is None else _read_inside(payloads, path),
        packages=packages,
    )


def _requirements_path(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise RefusedError("python_environment requirements must be a string")
    if not value.strip():
        return None
    if os.path.isabs(value) or os.path.normpath(value).split("/")[0] == "..":
        raise RefusedError(
            f"python_environment requirements must be a relative path inside payloads/: {value}"
        )
    return os.path.normpath(value)


def _read_inside(payloads: str | None, path: str) -> bytes:
    root = os.path.realpath(payloads or "/nowhere")
    resolved = os.path.realpath(os.path.join(root, path))
    if not resolved.startswith(root + "/"):
        raise RefusedError(
            f"python_environment requirements must be a relative path inside payloads/: {path}"
        )
    try:
        return Path(resolved).read_bytes()
    except OSError:
        raise RefusedError(
            f"python_environment requirements file is not readable: {resolved}"
        ) from None


def _blueprint_id(config: Mapping[str, Any], otherwise: str) -> str:
    """`environment.MN_BLUEPRINT_ID`, else the one inside `environment.MN_BLUEPRINT_CONFIG_JSON`."""
    declared = config.get("environment")
    if not isinstance(declared, dict):
        return otherwise
    if isinstance(named := declared.get("MN_BLUEPRINT_ID"), str) and named:
        return named
    try:
        document = json.loads(declared.get("MN_BLUEPRINT_CONFIG_JSON") or "null")
    except (TypeError, ValueError, RecursionError):
        return otherwise
    match document:
        case {"identity": {"blueprint_id": str(named)}} if named:
            return named
        case _:
            return otherwise


def _usable(folder: Path) -> bool:
    return (folder / READY).exists() and (folder / "bin" / "python").exists()


def _made_already(config: Mapping[str, Any]) -> Path | None:
    """Return the environment that a client on this machine made for the agent, if it is there."""
    declared = config.get("python_environment")
    named = declared.get("path") if isinstance(declared, Mapping) else None
    if not isinstance(named, str) or not os.path.isabs(named):
        return None
    folder = Path(named)
    return folder if _usable(folder) else None


def _check(what: str, finished: Finished) -> None:
    if finished.exit_code == 0 and finished.error is None:
        return
    said = (finished.stdout + finished.stderr).strip()[-OUTPUT_BYTES:].decode(errors="replace")
    if finished.error is not None:
        raise RefusedError(f"{what} failed: {finished.error}: {said}".rstrip(": "))
    raise RefusedError(f"{what} failed with exit code {finished.exit_code}: {said}")


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_bytes(content)
    beside.replace(path)
