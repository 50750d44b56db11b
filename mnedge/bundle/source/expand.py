"""An authoring source, expanded into a workflow manifest.

The same source and files always give the same manifest.
Source: bundle format 2.6, 2.5.3, rules S-01 to S-09 and S-20.
"""

from mnedge.bundle.files import Files
from mnedge.bundle.source import profile
from mnedge.bundle.source.agents import Drawn, agent_graph
from mnedge.bundle.source.checks import is_dynamic, problems_in, template_sources
from mnedge.bundle.source.config_layer import config_of
from mnedge.bundle.source.definitions import LIMIT_S, Loaded, load
from mnedge.bundle.source.flows import problems_in_step
from mnedge.bundle.source.graphs import compiled
from mnedge.bundle.source.live_inputs import problems_in_live_inputs
from mnedge.bundle.source.merging import laid_over
from mnedge.bundle.source.migration import migrated
from mnedge.bundle.source.outcome import ERROR, WARNING, Expanded, SourceProblem
from mnedge.bundle.source.placeholders import filled_in, words_of_source
from mnedge.bundle.source.root import contract_of, root_of, source_hash
from mnedge.bundle.source.runtime import runtime_of
from mnedge.bundle.source.sentinels import resolved
from mnedge.bundle.source.steps import place_of, step_edges, step_record, with_graph, with_routes
from mnedge.bundle.source.workers import Workshop, message_type_of, worker_of, worker_of_call
from mnedge.bundle.subject import JsonObject, is_text, mapping, objects


def expand(
    manifest: JsonObject,
    files: Files,
    *,
    config_default: JsonObject | None = None,
    run_code: bool = True,
    limit_s: float = LIMIT_S,
) -> Expanded:
    """Return the manifest of generation C that a source of either version stands for.

    `config_default` is `config/default.json` if the caller has read it. Modules named by
    `run.definition` are loaded in another process, each in at most `limit_s`; `run_code=False`
    leaves them unread, and their steps without agents inside. Never raises for what a source holds.
    """
    found, problems = resolved(manifest, files)
    source, dropped = migrated(found)
    problems += [*dropped, *problems_in(source)]
    if _broken(problems):
        return Expanded(problems=problems)
    digest = source_hash(source)
    source = _filled(source)
    config = config_of(source, files, config_default, problems)
    modules = [str(name) for _, step in _steps(source) if (name := _definition(step)) is not None]
    loaded = load(modules, files, run_code=run_code, limit_s=limit_s)
    shop = Workshop(source=source, config=config or {}, files=files)
    drawn = _drawn(source, shop, loaded, problems)
    agents = agent_graph(drawn)
    contract = contract_of(source)
    at = ("contracts" if source.get("contracts") else "contract", "live_inputs")
    problems += problems_in_live_inputs(
        contract.get("live_inputs"), at, agents, edges_known=not loaded.unchecked
    )
    root = root_of(source, digest)
    metadata = root.pop("metadata")
    return Expanded(
        manifest={
            **root,
            "workflow": drawn.workflow,
            "agents": agents,
            "runtime": runtime_of(drawn, agents, config),
            "metadata": metadata,
        },
        problems=problems,
        config=config or {},
        unchecked=list(loaded.unchecked),
    )


def _broken(problems: list[SourceProblem]) -> bool:
    return any(problem.severity == ERROR for problem in problems)


def _steps(source: JsonObject) -> list[tuple[int, JsonObject]]:
    return list(objects(mapping(source.get("workflow")).get("steps")))


def _definition(step: JsonObject) -> str | None:
    name = mapping(step.get("run")).get("definition")
    return name if is_text(name) else None


def _filled(source: JsonObject) -> JsonObject:
    """Fill in the words of the manifest; what is said about steps knows words of its own."""
    words = words_of_source(source)
    result: JsonObject = {
        name: value if name in ("defaults", "workers", "workflow") else filled_in(value, words)
        for name, value in source.items()
    }
    workflow = mapping(source.get("workflow"))
    result["workflow"] = {
        name: value if name in ("steps", "dynamic") else filled_in(value, words)
        for name, value in workflow.items()
    }
    dynamic = workflow.get("dynamic")
    if isinstance(dynamic, dict):
        result["workflow"]["dynamic"] = {
            name: value if name == "templates" else filled_in(value, words)
            for name, value in dynamic.items()
        }
    return result


def _drawn(
    source: JsonObject, shop: Workshop, loaded: Loaded, problems: list[SourceProblem]
) -> Drawn:
    """Make the steps, their agents and the workflow."""
    drawn = Drawn(source=source, workflow={}, steps=[], workers=[])
    registry = mapping(drawn.agents.get("registry"))
    for index, raw in _steps(source):
        step = step_record(source, raw, index)
        module = _definition(raw)
        if module is None:
            _add_worker(drawn, step, raw, shop)
            drawn.steps.append(step)
            continue
        definition = _checked(module, index, raw, registry, loaded, problems)
        graph = compiled(
            str(step["id"]),
            definition,
            module=module,
            needs=raw["needs"],
            emits=message_type_of(step),
            registry=registry,
        )
        made = [worker_of_call(call, step, raw, shop) for call in (*graph.calls, *graph.hooks)]
        drawn.workers += [node for node in made if node is not None]
        drawn.graphs[str(step["id"])] = graph
        drawn.steps.append(with_graph(step, module, definition, graph))
    drawn.workflow = _workflow(source, drawn, shop)
    return drawn


def _add_worker(drawn: Drawn, step: JsonObject, raw: JsonObject, shop: Workshop) -> None:
    """Make the step's agent, unless it only names one that stands in the source as it is."""
    run = mapping(raw.get("run"))
    given = {
        node["node_id"]
        for name in ("extra_nodes", "extra_templates", "nodes")
        for _, node in objects(drawn.listed(name))
        if is_text(node.get("node_id"))
    }
    if is_text(run.get("agent")) and run["agent"] in given and not run.get("handler"):
        return
    node = worker_of(step, raw, shop)
    if node is not None:
        drawn.workers.append(node)


def _workflow(source: JsonObject, drawn: Drawn, shop: Workshop) -> JsonObject:
    said = mapping(source.get("workflow"))
    workflow = laid_over(
        profile.WORKFLOW,
        {name: value for name, value in said.items() if name not in ("steps", "edges", "dynamic")},
    )
    first, last = drawn.steps[0]["id"], drawn.steps[-1]["id"]
    workflow.setdefault("workflow_id", f"{shop.blueprint_id}_v1")
    workflow.setdefault("entrypoint", first)
    workflow.setdefault("source", workflow["entrypoint"])
    workflow.setdefault("sink", last)
    edges = step_edges(said, drawn.steps)
    workflow["steps"] = drawn.steps = with_routes(drawn.steps, edges)
    workflow["edges"] = edges
    dynamic = said.get("dynamic")
    if isinstance(dynamic, dict):
        workflow["dynamic"] = dynamic
    if is_dynamic(workflow):
        templates = {}
        for _, raw in template_sources(mapping(dynamic)):
            step = step_record(source, raw)
            _add_worker(drawn, step, raw, shop)
            templates[str(raw["id"])] = step
            drawn.templates.append(step)
        workflow["dynamic"] = {**mapping(dynamic), "templates": templates}
    return workflow


def _checked(
    module: str,
    index: int,
    raw: JsonObject,
    registry: JsonObject,
    loaded: Loaded,
    problems: list[SourceProblem],
) -> JsonObject | None:
    """Return the step's definition if all is right with it, else say what is not."""
    definition = loaded.steps.get(module)
    severity, hint = ERROR, "mend the module; `python3 -c 'import MODULE'` in payloads/ shows more"
    if module in loaded.unchecked:
        severity, hint = WARNING, "validate the bundle where its files are, and a Python 3 is"
        reasons = [f"not checked: {loaded.unchecked[module]}"]
    elif definition is None:
        reasons = [f"cannot be loaded: {loaded.errors.get(module, 'it gave no answer')}"]
    else:
        reasons = problems_in_step(definition, raw["needs"], registry)
    problems += [
        SourceProblem(
            rule="S-09",
            at=(*place_of(index), "run", "definition"),
            message=f"step definition {module}: {reason}",
            hint=hint,
            severity=severity,
            actual=module,
        )
        for reason in reasons
    ]
    return None if reasons else definition
