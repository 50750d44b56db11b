"""The agents of a manifest of any generation, complete: templates rendered, settings projected."""

from typing import Any

from mnedge.bundle.files import Files
from mnedge.bundle.generation import Generation
from mnedge.bundle.kinds import is_on_host
from mnedge.bundle.layout import Placed, bindings_of, nodes_of, steps_of, workers_of
from mnedge.bundle.local_templates import LocalTemplates
from mnedge.bundle.problem import At
from mnedge.bundle.steps import agent_ids_of
from mnedge.bundle.subject import AgentEntry, JsonObject, is_text, mapping
from mnedge.bundle.templates import (
    TemplateProblemError,
    liveness_settings,
    rendered,
    with_liveness,
)
from mnedge.bundle.workflow import is_controlling, repair_of


def agent_entries(
    manifest: JsonObject, generation: Generation = Generation.A, files: Files | None = None
) -> list[AgentEntry]:
    """Return the agents in the order of the manifest, whatever is wrong with them.

    A step that only has a worker in `runtime.bindings` gets an agent made from it, if other steps
    have agents of their own.
    """
    steps = [] if generation.letter == "A" else [step for _, step in steps_of(manifest)]
    rendering = _Rendering(manifest, steps, files)
    entries = [
        rendering.entry(index, at, raw)
        for index, (at, raw) in enumerate(nodes_of(manifest, generation))
    ]
    known = by_id(entries)
    if not steps or not is_controlling(steps, known):
        return entries
    for step in steps:
        worker = None if repair_of(manifest, step, known) else _worker_of(manifest, step, known)
        if worker is not None:
            entries.append(rendering.entry(len(entries), *worker))
            known = by_id(entries)
    return _alive(entries, steps, rendering.liveness)


def by_id(entries: list[AgentEntry]) -> dict[str, AgentEntry]:
    """Return the agents by their ids; of two with one id the first."""
    known: dict[str, AgentEntry] = {}
    for entry in entries:
        if entry.agent_id:
            known.setdefault(entry.agent_id, entry)
    return known


class _Rendering:
    def __init__(self, manifest: JsonObject, steps: list[JsonObject], files: Files | None) -> None:
        control = mapping(mapping(manifest.get("runtime")).get("workflow_control"))
        self.liveness = liveness_settings(control) if steps else {}
        self._controls = {step["id"]: mapping(step.get("control")) for step in steps}
        self._local = None if files is None else LocalTemplates(files)

    def entry(self, index: int, at: At, raw: JsonObject) -> AgentEntry:
        """Return one agent, or why it cannot be rendered."""
        problem = None
        name = raw.get("node_id")
        control: Any = self._controls.get(name) if is_text(name) else None
        try:
            complete = rendered(raw, catalogue=self._local, control=control, liveness=self.liveness)
        except TemplateProblemError as error:
            complete = raw
            problem = (error.rule, str(error))
        return AgentEntry(index=index, at=at, raw=raw, rendered=complete, template_problem=problem)


def _worker_of(
    manifest: JsonObject, step: JsonObject, known: dict[str, AgentEntry]
) -> Placed | None:
    """Return the agent to be made of the binding of a step that has none, with its place."""
    if any(name in known for name in agent_ids_of(step, known)):
        return None
    for at, binding in bindings_of(manifest):
        if at[-1] in (step["id"], step.get("run")):
            for worker in workers_of(binding):
                if is_text(worker.get("uses")):
                    names = {"node_id": agent_ids_of(step, known)[0]}
                    kept = ("uses", "with", "config", "alias", "display_name", "role")
                    return at, {**{key: worker[key] for key in kept if key in worker}, **names}
    return None


def _alive(
    entries: list[AgentEntry], steps: list[JsonObject], liveness: JsonObject
) -> list[AgentEntry]:
    """Return the agents, those executors that do a step's work with the job's beacon settings."""
    if not liveness:
        return entries
    known = by_id(entries)
    working = {name for step in steps for name in agent_ids_of(step, known)}
    return [
        AgentEntry(
            index=entry.index,
            at=entry.at,
            raw=entry.raw,
            rendered=with_liveness(entry.rendered, liveness),
            template_problem=entry.template_problem,
        )
        if entry.agent_id in working and is_on_host(entry.rendered)
        else entry
        for entry in entries
    ]
