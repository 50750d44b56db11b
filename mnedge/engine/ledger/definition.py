"""Steps made ready to run: agents by number, and which step's messages can reach which agents.

Source: bundle format 2.7.
"""

from collections.abc import Iterable

from msgspec import Struct, field

from mnedge.model.manifest import ChildWorkflow, Dynamic, Edge, Region, Step, Workflow

NO_STEP = -1
PLAN_MEMBERS = ("decision", "revision", "steps", "reason", "output")
PLAN_PLACES = (("child_plan",), ("outputs", "child_plan"))
"""What a planner's plan consists of, and where in its output it may stand."""


class CompiledStep(Struct, frozen=True, kw_only=True):
    """What all steps made from one definition share."""

    step: Step
    agents: tuple[int, ...]
    """Agents that do its work, the primary one first; empty if none of its names is one."""

    @property
    def primary(self) -> int:
        """The agent that a trigger or a retry without a message of its own goes to."""
        return self.agents[0]

    @property
    def is_alone(self) -> bool:
        """Tell whether one agent does all its work."""
        return len(self.agents) == 1


class CompiledLedger(Struct, frozen=True, kw_only=True):
    """A workflow as the ledger walks it. Definitions: the steps, then all templates."""

    workflow: Workflow
    definitions: tuple[CompiledStep, ...]
    fixed: int
    """So many definitions are steps, numbered as in the state."""
    template_of: dict[str, int]
    """Dynamic template → its definition; of a child workflow under `<parent>/<template>`."""
    step_of_agent: dict[int, int]
    """Agent → the first fixed step that claims it."""
    regions: dict[str, Region]
    children: dict[str, ChildWorkflow]
    """Parent step → its child workflow."""
    has_sink: bool
    """Some agent of no step ends the run."""
    reaches: dict[int, frozenset[int]]
    """Agent of a step → agents of steps that its messages reach through agents of none."""
    open_paths: dict[tuple[int, int], bool] = field(default_factory=dict)
    """Answers of `feeds` so far."""

    @property
    def dynamic(self) -> Dynamic | None:
        """What graph patches may do, if anything."""
        return self.workflow.dynamic if self.workflow.mode == "dynamic_dag" else None

    def feeds(self, source: int, target: int) -> bool:
        """Tell whether messages of one definition's agents can reach the other's."""
        known = self.open_paths.get((source, target))
        if known is None:
            wanted = self.definitions[target].agents
            known = any(
                agent in self.reaches.get(start, ())
                for start in self.definitions[source].agents
                for agent in wanted
            )
            self.open_paths[source, target] = known
        return known


def child_paths(workflow: Workflow | None) -> list[str]:
    """Return the dotted paths that child workflows ask for in outputs of their steps."""
    asked: list[tuple[str, ...]] = []
    for child in () if workflow is None else workflow.child_workflows:
        asked += [(*place, member) for place in PLAN_PLACES for member in PLAN_MEMBERS]
        for path in child.inputs.values():
            asked += [tuple(path), ("outputs", *path)]
        for path in child.outputs.values():
            asked += [(*place, "output", *path) for place in PLAN_PLACES]
    return [".".join(path) for path in asked]


def compile_ledger(
    workflow: Workflow | None, index_of: dict[str, int], edges: Iterable[Edge], sinks: set[int]
) -> CompiledLedger | None:
    """Return the ledger of a workflow that controls its job, else None."""
    if workflow is None or not workflow.controlling or not workflow.steps:
        return None
    steps = list(workflow.steps)
    template_of: dict[str, int] = {}
    dynamic = workflow.dynamic if workflow.mode == "dynamic_dag" else None
    for template in dynamic.templates if dynamic else ():
        template_of[template.step_id] = len(steps)
        steps.append(template)
    for child in workflow.child_workflows:
        for template in child.templates:
            template_of[f"{child.parent}/{template.step_id}"] = len(steps)
            steps.append(template)
    definitions = tuple(_compiled(step, index_of) for step in steps)
    step_of_agent: dict[int, int] = {}
    for number in range(len(workflow.steps)):
        for agent in definitions[number].agents:
            step_of_agent.setdefault(agent, number)
    working = {agent for definition in definitions for agent in definition.agents}
    return CompiledLedger(
        workflow=workflow,
        definitions=definitions,
        fixed=len(workflow.steps),
        template_of=template_of,
        step_of_agent=step_of_agent,
        regions={region.region_id: region for region in dynamic.regions} if dynamic else {},
        children={child.parent: child for child in workflow.child_workflows},
        has_sink=bool(sinks - working),
        reaches=_reaches(index_of, edges, working),
    )


def _compiled(step: Step, index_of: dict[str, int]) -> CompiledStep:
    named = [index_of[name] for name in step.agent_ids if name in index_of]
    return CompiledStep(step=step, agents=tuple(dict.fromkeys(named)))


def _reaches(
    index_of: dict[str, int], edges: Iterable[Edge], working: set[int]
) -> dict[int, frozenset[int]]:
    after: dict[int, list[int]] = {}
    for edge in edges:
        after.setdefault(index_of[edge.sender], []).append(index_of[edge.target])
    found: dict[int, frozenset[int]] = {}
    for start in sorted(working):
        met: dict[int, None] = {}
        passed: dict[int, None] = {}
        stack = list(after.get(start, ()))
        while stack:
            agent = stack.pop()
            if agent in working:
                met[agent] = None
            elif agent not in passed:
                passed[agent] = None
                stack += after.get(agent, ())
        found[start] = frozenset(met)
    return found
