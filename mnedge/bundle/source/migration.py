"""Sources of the first version, turned into the second.

Source: bundle format 2.6.1, rule S-20.
"""

from typing import Any

from mnedge.bundle.problem import At
from mnedge.bundle.source.outcome import WARNING, SourceProblem
from mnedge.bundle.subject import JsonObject, is_text, listing, mapping

FIRST, SECOND = "mn.workflow.source/v1", "mn.workflow.source/v2"
KIND = "WorkflowSource"


def migrated(source: JsonObject) -> tuple[JsonObject, list[SourceProblem]]:
    """Return the source in its second version; one that is there already comes back as it is."""
    if source.get("apiVersion") != FIRST:
        return source, []
    workflow = mapping(source.get("workflow"))
    steps = [
        {"id": step} if isinstance(step, str) else dict(step) if isinstance(step, dict) else step
        for step in listing(workflow.get("steps"))
    ]
    problems: list[SourceProblem] = []
    needs = _needs(steps, problems)
    result = {**source, "apiVersion": SECOND, "kind": KIND}
    if isinstance(source.get("workflow"), dict):
        paired = zip(steps, needs, strict=True)
        result["workflow"] = {**workflow, "steps": [_step(step, own) for step, own in paired]}
    return result, problems


def _step(step: Any, needs: list[str]) -> Any:
    if not isinstance(step, dict):
        return step
    kept = {name: value for name, value in step.items() if name not in ("requires", "provides")}
    kept.setdefault("needs", needs)
    run = kept.get("run")
    if run is None:
        kept["run"] = {"agent": kept.get("id")}
    elif isinstance(run, str):
        kept["run"] = {"agent": run}
    return kept


def _needs(steps: list[Any], problems: list[SourceProblem]) -> list[list[str]]:
    """Return what each step depends on: who provides what it requires, else the one before it."""
    known = [step if isinstance(step, dict) else {} for step in steps]
    if not any(isinstance(step.get("requires"), list) for step in known):
        ids = [str(step["id"]) if is_text(step.get("id")) else "" for step in known]
        return [[before] if before else [] for before in ["", *ids[:-1]]][: len(ids)]
    providers: dict[str, str] = {}
    for step in known:
        for capability in listing(step.get("provides")):
            if is_text(capability) and is_text(step.get("id")):
                providers.setdefault(capability, step["id"])
    needs = []
    for index, step in enumerate(known):
        found: list[str] = []
        for position, capability in enumerate(listing(step.get("requires"))):
            provider = providers.get(capability) if is_text(capability) else None
            if provider is None:
                at = ("workflow", "steps", index, "requires", position)
                problems.append(_nobody_provides(at, capability, list(providers)))
            elif provider != step.get("id") and provider not in found:
                found.append(provider)
        needs.append(found)
    return needs


def _nobody_provides(at: At, capability: Any, provided: list[str]) -> SourceProblem:
    return SourceProblem(
        rule="S-20",
        at=at,
        message=f"no step provides {capability!r}; the dependency is dropped",
        hint="let a step provide it, or remove it",
        severity=WARNING,
        expected=provided,
        actual=capability,
    )
