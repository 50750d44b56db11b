"""Rules about the manifest's metadata."""

from collections.abc import Iterator

from mnedge.bundle.rules.manifest import has_steps
from mnedge.bundle.rules.registry import ERROR, STRICT, WARNING, Found, rule
from mnedge.bundle.subject import Subject, is_text, mapping, objects

REQUIRED = (
    "name",
    "category",
    "description",
    "problem_solved",
    "target_user",
    "customizable_for",
    "simulation_type",
    "runtime_features",
    "output",
    "output_contract",
    "quick_test",
    "standard",
    "interfaces",
)
_ALIASES = {"problem_solved": "problem", "target_user": "target_users"}
_ARTIFACT = ("artifact_id", "type", "schema_version", "path", "mime_type", "producer")


@rule(
    "MD-01",
    ERROR,
    "ABCS",
    "metadata.blueprint_id",
    "metadata.blueprint_id must be the name of the bundle's folder",
    help="rename the folder, or write its name as metadata.blueprint_id",
)
def id_is_the_folder(subject: Subject) -> Iterator[Found]:
    """Yield if the declared id is another than the folder's name; if it is missing, in strict."""
    at = ("identity", "id") if subject.generation.letter == "S" else ("metadata", "blueprint_id")
    declared = mapping(subject.manifest.get(at[0])).get(at[1])
    if declared is None:
        if isinstance(subject.manifest.get(at[0]), dict):
            yield Found(at=at, message=f"{'.'.join(at)} is required", severity=STRICT)
    elif not is_text(declared) or (
        subject.expected_id is not None and declared != subject.expected_id
    ):
        yield Found(at=at, expected=subject.expected_id, actual=declared)


@rule(
    "MD-02",
    STRICT,
    "ABC",
    "metadata.missing",
    "required product metadata is missing",
    help="describe the blueprint for those who choose it: what it solves, for whom, what it makes",
)
def product_metadata_is_there(subject: Subject) -> Iterator[Found]:
    """Yield each required key that is missing."""
    metadata = subject.metadata
    for key in REQUIRED:
        if metadata.get(key) is None and metadata.get(_ALIASES.get(key, key)) is None:
            yield Found(at=("metadata", key), message=f"metadata.{key} is required")


@rule(
    "MD-03",
    STRICT,
    "*",
    "metadata.llm_agent_role",
    "metadata.llm_agent_role is required where an agent uses a language model",
    help="say in metadata.llm_agent_role what the model decides",
)
def llm_role_is_told(subject: Subject) -> Iterator[Found]:
    """Yield if an agent uses a language model and nothing says what for."""
    llm = subject.section("llm")
    uses = llm.get("enabled") is True or bool(mapping(llm.get("agents")))
    uses = uses or any(is_text(agent.config.get("llm_config")) for agent in subject.agents)
    metadata = subject.metadata
    if uses and not (metadata.get("llm_agent_role") or metadata.get("agent_role")):
        yield Found(at=("metadata", "llm_agent_role"), expected="a text")


@rule(
    "MD-04",
    STRICT,
    "*",
    "metadata.quick_test",
    "a disabled quick test needs an explanation",
    help="add a reason to metadata.quick_test, or enable it",
)
def quick_test_is_explained(subject: Subject) -> Iterator[Found]:
    """Yield if the quick test is off without reason or description."""
    test = mapping(subject.metadata.get("quick_test"))
    if test.get("enabled") is False and not (test.get("reason") or test.get("description")):
        yield Found(at=("metadata", "quick_test"), expected="a reason or description")


@rule(
    "MD-05",
    STRICT,
    "BC",
    "metadata.status_contract",
    "status_contract must show the workflow state",
    help="declare runtime_state_source workflow_state and the attempt, retry, blocked and terminal"
    " events",
)
def status_contract_is_there(subject: Subject) -> Iterator[Found]:
    """Yield if a workflow with steps does not say how its state is seen."""
    if not has_steps(subject.manifest):
        return
    contract = mapping(subject.metadata.get("status_contract"))
    events = ("attempt_event", "retry_event", "blocked_event", "terminal_step_events")
    if contract.get("runtime_state_source") != "workflow_state" or not all(
        contract.get(key) for key in events
    ):
        yield Found(at=("metadata", "status_contract"), expected=["runtime_state_source", *events])


@rule(
    "MD-06",
    STRICT,
    "*",
    "metadata.human_control",
    "metadata.human_control.mode must be that of the config",
    help="copy human_control.mode of config/default.json",
)
def human_control_is_mirrored(subject: Subject) -> Iterator[Found]:
    """Yield if manifest and config name two modes."""
    shown = mapping(subject.metadata.get("human_control")).get("mode")
    mode = subject.section("human_control").get("mode")
    if shown is not None and mode is not None and shown != mode:
        yield Found(at=("metadata", "human_control", "mode"), expected=mode, actual=shown)


@rule(
    "MD-20",
    WARNING,
    "*",
    "metadata.product_contract",
    "nothing tells a launcher what the blueprint needs and shows",
    help="add metadata.input_contract and metadata.observability_dashboard",
)
def product_contract_is_there(subject: Subject) -> Iterator[Found]:
    """Yield if the input contract or the dashboard is missing."""
    inputs = mapping(subject.manifest.get("contract")).get("inputs")
    if not subject.metadata.get("input_contract") and not inputs:
        yield Found(at=("metadata", "input_contract"), message="no input_contract is declared")
    if not subject.metadata.get("observability_dashboard"):
        yield Found(
            at=("metadata", "observability_dashboard"),
            message="no observability_dashboard is declared",
        )


@rule(
    "MD-21",
    WARNING,
    "*",
    "metadata.artifact_record",
    "an artifact of the output contract is not fully described",
    help=f"give it {', '.join(_ARTIFACT)}",
)
def artifacts_are_described(subject: Subject) -> Iterator[Found]:
    """Yield each declared artifact that lacks a member."""
    contract = mapping(subject.metadata.get("output_contract"))
    for index, record in objects(contract.get("artifacts")):
        missing = [key for key in _ARTIFACT if not record.get(key)]
        if missing:
            yield Found(
                at=("metadata", "output_contract", "artifacts", index),
                message=f"artifact {index} of the output contract lacks {', '.join(missing)}",
                expected=list(_ARTIFACT),
            )
