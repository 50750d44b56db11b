"""What must hold in a source before it is expanded.

Source: bundle format 2.6.2, 2.6.4, rules S-01 to S-05 and S-07.
"""

import re
from collections.abc import Iterator
from typing import Any

from mnedge.bundle.problem import At
from mnedge.bundle.source.outcome import SourceProblem
from mnedge.bundle.subject import JsonObject, is_text, mapping, objects

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_HANDLER = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*)?", re.ASCII)
TARGETS = ("definition", "handler", "agent")


def problems_in(source: JsonObject) -> list[SourceProblem]:
    """Return everything that keeps the source, in its second version, from being expanded."""
    return [
        *_identity(source.get("identity")),
        *_workflow(source.get("workflow")),
        *_manifest_defaults(source),
    ]


def is_module(name: Any) -> bool:
    """Tell whether this is the dotted name of a Python module."""
    return isinstance(name, str) and _MODULE.fullmatch(name) is not None


def is_handler(name: Any) -> bool:
    """Tell whether this is the dotted name of a module, or of a function in it after a colon."""
    return isinstance(name, str) and _HANDLER.fullmatch(name) is not None


def template_sources(dynamic: JsonObject) -> list[tuple[At, JsonObject]]:
    """Return the templates of steps, each with its id, and where they stand."""
    at: At = ("workflow", "dynamic", "templates")
    templates = dynamic.get("templates")
    if isinstance(templates, dict):
        return [
            ((*at, name), {**spec, "id": name})
            for name, spec in templates.items()
            if isinstance(spec, dict)
        ]
    return [((*at, index), spec) for index, spec in objects(templates)]


def is_dynamic(workflow: JsonObject) -> bool:
    """Tell whether the graph may change while the job runs."""
    dynamic = mapping(workflow.get("dynamic"))
    return workflow.get("mode") == "dynamic_dag" and dynamic.get("enabled") is True


def manifest_defaults(source: JsonObject) -> list[tuple[int, str, str]]:
    """Return the readable entries: position, path in the manifest, path in the config."""
    found = []
    entries = mapping(source.get("config")).get("manifest_defaults")
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        match entry:
            case str() if _is_path(entry):
                found.append((index, entry, entry))
            case {"from": str(taken), "to": str(put)} if _is_path(taken) and _is_path(put):
                found.append((index, taken, put))
    return found


def _is_path(path: str) -> bool:
    return bool(path) and all(path.split("."))


def _wrong(rule: str, at: At, message: str, hint: str, **more: Any) -> SourceProblem:
    return SourceProblem(rule=rule, at=at, message=message, hint=hint, **more)


def _identity(identity: Any) -> Iterator[SourceProblem]:
    if not isinstance(identity, dict):
        yield _wrong(
            "S-01",
            ("identity",),
            "identity must be an object",
            'add "identity": {"id": "my_blueprint", "name": "My blueprint"}',
            actual=identity,
        )
        return
    for key in ("id", "name"):
        if not (is_text(identity.get(key)) and identity[key].strip()):
            yield _wrong(
                "S-01",
                ("identity", key),
                f"identity.{key} is required",
                f"give the blueprint its {key}",
                expected="a non-empty string",
                actual=identity.get(key),
            )


def _workflow(workflow: Any) -> Iterator[SourceProblem]:
    if not isinstance(workflow, dict):
        yield _wrong(
            "S-02",
            ("workflow",),
            "workflow must be an object",
            'add "workflow": {"steps": [...]}',
            actual=workflow,
        )
        return
    steps = workflow.get("steps")
    at: At = ("workflow", "steps")
    if not isinstance(steps, list) or not steps:
        yield _wrong(
            "S-02",
            at,
            "workflow.steps must be a non-empty list",
            "list the steps of the work",
            actual=steps,
        )
        return
    ids = [step.get("id") if isinstance(step, dict) else None for step in steps]
    for index, step in enumerate(steps):
        yield from _step(step, ids, index)
    yield from _cycles(steps)
    if is_dynamic(workflow):
        yield from _dynamic(mapping(workflow["dynamic"]), ids)


def _step(step: Any, ids: list[Any], index: int) -> Iterator[SourceProblem]:
    at: At = ("workflow", "steps", index)
    if not isinstance(step, dict):
        yield _wrong(
            "S-03",
            at,
            "a step must be an object",
            'write {"id": "fetch", "needs": [], "run": {"handler": "steps.fetch"}}',
            actual=step,
        )
        return
    step_id = step.get("id")
    if not is_text(step_id):
        yield _wrong("S-02", (*at, "id"), "a step needs an id", "name it", actual=step_id)
    elif ids.index(step_id) < index:
        yield _wrong("S-02", (*at, "id"), f"two steps are called {step_id!r}", "rename one")
    yield from _needs(step, ids, at)
    yield from _run(step, at, rule="S-04")


def _needs(step: JsonObject, ids: list[Any], at: At) -> Iterator[SourceProblem]:
    needs = step.get("needs")
    if not isinstance(needs, list) or not all(isinstance(name, str) for name in needs):
        yield _wrong(
            "S-03",
            (*at, "needs"),
            f"step {step.get('id')!r} must list the steps that it needs",
            'write "needs": [] for a step that starts at once',
            expected="a list of step ids",
            actual=needs,
        )
        return
    for position, name in enumerate(needs):
        if name not in ids:
            yield _wrong(
                "S-03",
                (*at, "needs", position),
                f"step {step.get('id')!r} needs {name!r}, which is no step",
                "name a step of this workflow",
                expected=[one for one in ids if is_text(one)],
                actual=name,
            )


def _cycles(steps: list[Any]) -> Iterator[SourceProblem]:
    """Name the steps that wait for each other."""
    waiting = {
        step["id"]: {name for name in step["needs"] if isinstance(name, str)}
        for step in steps
        if isinstance(step, dict)
        and is_text(step.get("id"))
        and isinstance(step.get("needs"), list)
    }
    waiting = {name: needs & waiting.keys() for name, needs in waiting.items()}
    while ready := [name for name, needs in waiting.items() if not needs]:
        for name in ready:
            del waiting[name]
        for needs in waiting.values():
            needs.difference_update(ready)
    ring = _ring(waiting)
    if ring:
        yield _wrong(
            "S-03",
            ("workflow", "steps"),
            f"steps wait for each other: {' → '.join(ring)}",
            "remove one of these needs",
        )


def _ring(waiting: dict[str, set[str]]) -> list[str]:
    if not waiting:
        return []
    path = [next(iter(waiting))]
    while True:
        following = next(name for name in waiting if name in waiting[path[-1]])
        if following in path:
            return [*path[path.index(following) :], following]
        path.append(following)


def _run(step: JsonObject, at: At, *, rule: str) -> Iterator[SourceProblem]:
    run, step_id = step.get("run"), step.get("id")
    at = (*at, "run")
    if not isinstance(run, dict):
        yield _wrong(
            rule,
            at,
            f"step {step_id!r} must say what it runs",
            'write "run": {"handler": "steps.fetch"}',
            expected="an object with a definition, a handler or an agent",
            actual=run,
        )
        return
    if "agents" in run:
        yield _wrong(
            rule,
            (*at, "agents"),
            "run.agents is no longer supported",
            "let run.definition name a module that exports STEP",
        )
    given = [name for name in TARGETS if run.get(name) is not None]
    if not given:
        yield _wrong(
            rule,
            at,
            f"step {step_id!r} runs nothing",
            "give it a definition, a handler or an agent",
            expected=list(TARGETS),
        )
    elif "definition" in given and len(given) > 1:
        yield _wrong(
            rule,
            at,
            f"step {step_id!r} has a definition, and a second thing to run: {given[1]}",
            "keep one of them",
            actual=given,
        )
    yield from _run_members(run, at, rule)


def _run_members(run: JsonObject, at: At, rule: str) -> Iterator[SourceProblem]:
    for name in ("definition", "handler"):
        if run.get(name) is not None and not is_module(run[name]):
            yield _wrong(
                rule,
                (*at, name),
                f"run.{name} must be the dotted name of a Python module",
                "write it as steps.fetch",
                actual=run[name],
            )
    if run.get("agent") is not None and not is_text(run["agent"]):
        yield _wrong(
            rule, (*at, "agent"), "run.agent must name an agent", "name one", actual=run["agent"]
        )
    if "with" in run and not isinstance(run["with"], dict):
        yield _wrong(
            rule,
            (*at, "with"),
            "run.with must be an object",
            "write the handler's keyword arguments as an object",
            actual=run["with"],
        )
    if "binding" in run and not is_text(run["binding"]):
        yield _wrong(
            rule,
            (*at, "binding"),
            "run.binding must be a non-empty string",
            "name a key of runtime.bindings, or leave it out",
            actual=run["binding"],
        )


def _dynamic(dynamic: JsonObject, ids: list[Any]) -> Iterator[SourceProblem]:
    at: At = ("workflow", "dynamic")
    if dynamic.get("apply_at") != "between_steps":
        yield _wrong(
            "S-07",
            (*at, "apply_at"),
            "dynamic.apply_at must be between_steps",
            'write "apply_at": "between_steps"',
            expected="between_steps",
            actual=dynamic.get("apply_at"),
        )
    templates = template_sources(dynamic)
    if not templates:
        yield _wrong(
            "S-07",
            (*at, "templates"),
            "dynamic.templates must hold at least one template",
            "add a template, or set mode to static_dag",
            actual=dynamic.get("templates"),
        )
    if not isinstance(dynamic.get("regions"), list) or not dynamic["regions"]:
        yield _wrong(
            "S-07",
            (*at, "regions"),
            "dynamic.regions must be a non-empty list",
            "say where the graph may change",
            actual=dynamic.get("regions"),
        )
    seen: set[str] = set()
    for place, template in templates:
        yield from _template(template, place, ids, seen)


def _template(
    template: JsonObject, at: At, ids: list[Any], seen: set[str]
) -> Iterator[SourceProblem]:
    name = template.get("id")
    if not is_text(name):
        yield _wrong("S-07", (*at, "id"), "a template needs an id", "name it", actual=name)
    elif name in ids:
        yield _wrong("S-07", at, f"template {name!r} has the id of a step", "rename it")
    elif name in seen:
        yield _wrong("S-07", at, f"two templates are called {name!r}", "rename one")
    seen.add(str(name))
    run = template.get("run")
    if isinstance(run, dict) and run.get("definition") is not None:
        yield _wrong(
            "S-07",
            (*at, "run", "definition"),
            f"template {name!r} cannot have a definition",
            "give it one handler or one agent",
        )
        return
    if isinstance(run, dict) and run.get("handler") and run.get("agent"):
        yield _wrong(
            "S-07",
            (*at, "run"),
            f"template {name!r} has a handler and an agent",
            "keep one of them",
        )
    yield from _run(template, at, rule="S-07")


def _manifest_defaults(source: JsonObject) -> Iterator[SourceProblem]:
    entries = mapping(source.get("config")).get("manifest_defaults")
    at: At = ("config", "manifest_defaults")
    if entries is None:
        return
    if not isinstance(entries, list):
        yield _wrong(
            "S-05",
            at,
            "config.manifest_defaults must be a list",
            "list dotted paths, or objects with from and to",
            actual=entries,
        )
        return
    readable = {index for index, _, _ in manifest_defaults(source)}
    for index, entry in enumerate(entries):
        if index not in readable:
            yield _wrong(
                "S-05",
                (*at, index),
                "an entry of manifest_defaults must be a dotted path, or have from and to",
                'write "llm" or {"from": "identity.id", "to": "identity.blueprint_id"}',
                actual=entry,
            )
