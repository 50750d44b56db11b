"""What input skills bring, read once when a job is made and recorded in its inputs.

Source: bundle format 5.4.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import trio

from mnedge.bundle.config import JsonObject, look_up
from mnedge.bundle.input_skills import (
    InputSkill,
    event_problems,
    input_skills,
    resolved,
    skill_problem,
)
from mnedge.bundle.load import Bundle
from mnedge.bundle.problem import Problem, invalid
from mnedge.config.settings import Config
from mnedge.errors import MnedgeError, UnavailableError, UsageError
from mnedge.model.facts import Note
from mnedge.model.manifest import JobSpec, LiveInput
from mnedge.ports import Batch, Connector

READ_S = 60.0
"""How long one source may take."""
MOST_BYTES = 16 << 20
"""Of all that one input skill brings, as JSON."""
CURSOR_BYTES = 64 << 10
SHOWN = 1000
"""So many items are listed with where they came from."""

NO_CONNECTORS: Mapping[str, Connector] = {}


class ConnectorBrokenError(UsageError):
    """A connector raised what it must not, or returned what nobody can use."""

    code = "connector.broken"


async def read_inputs(
    bundle: Bundle, connectors: Mapping[str, Connector], config: Config
) -> list[LiveInput]:
    """Add what its input skills bring to the bundle's inputs; return those to be read later.

    What the inputs that were given hold already is not read again. `bundle.input_sources` tells
    what came from where.
    Raises: BundleInvalidError if one that is required cannot be read, or one is malformed.
    """
    skills = input_skills(bundle.config, config.environ)
    if not skills:
        return []
    reading = _Reading(bundle, connectors, config)
    for skill in skills:
        await reading.take(skill)
    if reading.problems:
        raise invalid(bundle.label, reading.problems)
    bundle.add_inputs(reading.payload, reading.sources)
    return reading.live


def notes_of(spec: JobSpec, at: float) -> list[Note]:
    """Return what a job has to tell when it begins: sources that it goes without."""
    types = {"failed": "input_skill_failed", "unsupported": "input_skill_unsupported"}
    notes = []
    for name, told in spec.input_sources.items():
        type_ = types.get(told.get("status", ""))
        if type_ is not None:
            error = told.get("error") or {"message": "no connector of that name is here"}
            payload = {
                "name": name,
                "skill": told.get("skill"),
                "connector": told.get("connector"),
                "error": error.get("message"),
                "required": False,
            }
            notes.append(Note(at=at, type=type_, payload=payload))
    return notes


class _Reading:
    """Reads one skill after the other."""

    def __init__(self, bundle: Bundle, connectors: Mapping[str, Connector], config: Config) -> None:
        self._bundle = bundle
        self._connectors = connectors
        self._config = config
        self._left = _number(look_up(bundle.config, "budgets.max_connector_reads"))
        self.payload: JsonObject = {}
        self.sources: JsonObject = {}
        self.live: list[LiveInput] = []
        self.problems: list[Problem] = []

    async def take(self, skill: InputSkill) -> None:
        """Read it, or say why not."""
        told: JsonObject = {"skill": skill.skill, "connector": skill.connector, "live": skill.live}
        connector = self._connectors.get(skill.connector)
        if self._bundle.inputs_given and skill.name in self._bundle.inputs.payload:
            told |= {"status": "given"}
            told = self._bundle.input_sources.get(skill.name, told)
        elif skill.mock:
            told |= {"status": "mock", "mock": True}
            if skill.fixture is not None and not skill.live:
                self.payload[skill.name] = skill.fixture
        elif connector is None:
            told |= {"status": "unsupported"}
            if skill.required:
                self.problems.append(
                    skill_problem(
                        skill,
                        f"this node has no connector {skill.connector!r}",
                        "install a plugin that brings it, set enabled to false, or use mode mock",
                    )
                )
        else:
            told |= await self._from(connector, skill)
        self.sources[skill.name] = told

    async def _from(self, connector: Connector, skill: InputSkill) -> JsonObject:
        try:
            settings = resolved(skill.settings, self._bundle.config, self._config.environ)
            for message in checked(connector, settings):
                self.problems.append(skill_problem(skill, message))
            if self.problems:
                return {"status": "failed"}
            if skill.live:
                return self._later(skill)
            return await self._now(connector, skill, settings)
        except MnedgeError as error:
            if skill.required:
                self.problems.append(skill_problem(skill, error.message, error.hint))
            return {"status": "failed", "error": {"code": error.code, "message": error.message}}

    def _later(self, skill: InputSkill) -> JsonObject:
        spec = self._bundle.spec
        known = [agent.agent_id for agent in spec.agents] if spec is not None else []
        unknown = [name for name in skill.to if name not in known]
        messages = event_problems(skill)
        messages += [f"there is no agent {name!r}" for name in unknown]
        for message in messages:
            self.problems.append(skill_problem(skill, message))
        limits = look_up(self._bundle.config, f"backpressure.connectors.{skill.connector}")
        pace = _number(limits.get("max_reads_per_minute")) if isinstance(limits, dict) else None
        self.live.append(
            LiveInput(
                name=skill.name,
                skill=skill.skill,
                connector=skill.connector,
                settings=skill.settings,
                events=skill.events,
                to=skill.to,
                required=skill.required,
                max_reads_per_minute=pace if pace is not None and pace > 0 else None,
            )
        )
        return {"status": "live"}

    async def _now(
        self, connector: Connector, skill: InputSkill, settings: JsonObject
    ) -> JsonObject:
        if self._left is not None and self._left < 1:
            raise UsageError(
                "budgets.max_connector_reads allows no more reads",
                hint="raise the budget, or disable an input skill",
            )
        self._left = None if self._left is None else self._left - 1
        with trio.move_on_after(READ_S) as limit:
            batch = await asked(connector, settings, None, folder=str(self._bundle.root))
        if limit.cancelled_caught:
            raise UnavailableError(
                f"connector {connector.name} did not answer in {READ_S:g} s",
                hint="is its source within reach? try again, or disable the input skill",
            )
        bodies = [item.body for item in batch.items]
        if len(msgspec.json.encode(bodies)) > MOST_BYTES:
            raise UsageError(
                f"it brings more than {MOST_BYTES >> 20} MiB",
                hint="let it read less at once, or as a live input",
            )
        self.payload[skill.name] = bodies
        return {
            "status": "read",
            "count": len(bodies),
            "items": [
                {"item_id": item.item_id, "source_ref": item.source_ref}
                for item in batch.items[:SHOWN]
            ],
        }


def checked(connector: Connector, settings: JsonObject) -> list[str]:
    """Return what is wrong with the settings.

    Raises: ConnectorBrokenError.
    """
    try:
        return [str(message) for message in connector.check(settings)]
    except Exception as error:  # whatever a plugin does, it ends here, under its name
        raise _broken(connector, error) from error


async def asked(
    connector: Connector, settings: JsonObject, cursor: str | None, *, folder: str
) -> Batch:
    """Return what the connector reads, known to be JSON.

    Raises: UnavailableError, UsageError, ConnectorBrokenError: as the port says.
    """
    try:
        batch = await connector.read(settings, cursor, folder=folder)
        items = [msgspec.convert(msgspec.to_builtins(item), type(item)) for item in batch.items]
        msgspec.json.encode([(item.item_id, item.event, item.source_ref) for item in items])
        if len(batch.cursor.encode()) > CURSOR_BYTES:
            raise ValueError(f"its cursor is larger than {CURSOR_BYTES} bytes")
        return Batch(items, batch.cursor)
    except MnedgeError:
        raise
    except Exception as error:  # whatever a plugin does, it ends here, under its name
        raise _broken(connector, error) from error


def _broken(connector: Connector, error: Exception) -> ConnectorBrokenError:
    return ConnectorBrokenError(
        f"connector {connector.name} broke: {type(error).__name__}",
        hint="`mnedge plugin list` tells who brings it",
    )


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
