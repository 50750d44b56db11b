"""Rules about the root of the manifest."""

from collections.abc import Iterator
from typing import Any

from mnedge.bundle.files import tidy, unsafe_path
from mnedge.bundle.generation import (
    SOURCE_VERSIONS,
    WORKFLOW_VERSIONS,
    Generation,
)
from mnedge.bundle.rules.files import broken
from mnedge.bundle.rules.inputs import input_validation_of
from mnedge.bundle.rules.registry import ERROR, STRICT, WARNING, Found, rule
from mnedge.bundle.rules.resources import requirements_of
from mnedge.bundle.subject import JsonObject, Subject, is_number, is_text, listing, mapping

_FORBIDDEN_IN_C = ("flow", "graph_id", "nodes", "edges", "entrypoints")
_NEEDS = ("cpu", "gpu", "memory", "disk")


@rule(
    "M-01",
    ERROR,
    "*",
    "document.not_an_object",
    "manifest must be a JSON object",
    help="make manifest.json one JSON object, { … }, of at most 16 MiB",
)
def is_an_object(subject: Subject) -> Iterator[Found]:
    """Yield if the manifest is broken or something else than an object."""
    yield from broken(subject.manifest_document)


@rule(
    "M-02",
    ERROR,
    "ABCS",
    "manifest.api_version",
    "unsupported apiVersion",
    help=f"use {', '.join(WORKFLOW_VERSIONS + SOURCE_VERSIONS)}, or none beside root nodes",
)
def api_version_is_known(subject: Subject) -> Iterator[Found]:
    """Yield if `apiVersion` is unknown, or missing where steps need it."""
    manifest = subject.manifest
    version = manifest.get("apiVersion")
    if "apiVersion" in manifest and version not in WORKFLOW_VERSIONS + SOURCE_VERSIONS:
        yield Found(
            at=("apiVersion",),
            message=f"unsupported apiVersion {version!r}",
            expected=[*WORKFLOW_VERSIONS, *SOURCE_VERSIONS],
            actual=version,
        )
    elif "apiVersion" not in manifest and subject.generation.letter in "BC":
        steps = subject.generation is Generation.C or has_steps(manifest)
        yield Found(
            at=("apiVersion",),
            message="apiVersion is required",
            expected=WORKFLOW_VERSIONS[0],
            severity=ERROR if steps else WARNING,
        )


@rule(
    "M-03",
    ERROR,
    "A",
    "manifest.undetectable",
    "manifest has no nodes, flow, workflow or source workflow",
    help="list the agents under `nodes` (and their `edges`)",
)
def generation_is_known(subject: Subject) -> Iterator[Found]:
    """Yield if nothing tells what kind of manifest this is."""
    if subject.generation is Generation.UNKNOWN and subject.manifest_is_object:
        yield Found(expected="a list `nodes`, or `flow`, or `workflow`")


@rule(
    "M-04",
    ERROR,
    "BCS",
    "manifest.kind",
    "kind must be Workflow",
    help="set `kind` to Workflow, or to WorkflowSource in an authoring source",
)
def kind_fits(subject: Subject) -> Iterator[Found]:
    """Yield if `kind` is wrong for the generation, or missing where steps need it."""
    manifest, letter = subject.manifest, subject.generation.letter
    allowed = {"B": ("Workflow",), "C": ("Workflow",), "S": ("WorkflowSource", "Workflow")}[letter]
    if "kind" in manifest and manifest["kind"] not in allowed:
        yield Found(at=("kind",), expected=allowed[0], actual=manifest["kind"])
    elif "kind" not in manifest and (letter == "C" or (letter == "B" and has_steps(manifest))):
        yield Found(at=("kind",), expected=allowed[0])


@rule(
    "M-05",
    ERROR,
    "ABC",
    "manifest.version",
    "manifest_version is required",
    help='add "manifest_version": "1.0"',
)
def version_is_there(subject: Subject) -> Iterator[Found]:
    """Yield if `manifest_version` is neither a text nor a number."""
    version = subject.manifest.get("manifest_version")
    if not is_text(version) and not is_number(version):
        yield Found(at=("manifest_version",), expected="a text such as 1.0", actual=version)


@rule(
    "M-06",
    ERROR,
    "AB",
    "manifest.graph_id",
    "graph_id must be a non-empty string",
    help="give the workflow an id, usually <blueprint_id>_v1",
)
def graph_id_is_there(subject: Subject) -> Iterator[Found]:
    """Yield if `graph_id` is no text."""
    graph_id = subject.manifest.get("graph_id")
    if not is_text(graph_id):
        yield Found(at=("graph_id",), expected="a non-empty text", actual=graph_id)


@rule(
    "M-07",
    ERROR,
    "ABC",
    "manifest.job_name",
    "job_name must be a non-empty string",
    help="give the job a name in kebab-case",
)
def job_name_is_there(subject: Subject) -> Iterator[Found]:
    """Yield if `job_name` is no text; generation A may leave it out."""
    name = subject.manifest.get("job_name")
    optional = subject.generation.letter == "A" and name is None
    if not optional and not is_text(name):
        yield Found(at=("job_name",), expected="a non-empty text", actual=name)


@rule(
    "M-08",
    ERROR,
    "C",
    "manifest.identity",
    "id and name are required",
    help="give the manifest an id (the folder's name) and a name for people",
)
def id_and_name_are_there(subject: Subject) -> Iterator[Found]:
    """Yield each of `id` and `name` that is no text."""
    for key in ("id", "name"):
        if not is_text(subject.manifest.get(key)):
            yield Found(at=(key,), message=f"{key} is required", expected="a non-empty text")


@rule(
    "M-09",
    STRICT,
    "C",
    "manifest.forbidden_root",
    "not allowed at the root of a workflow manifest",
    help="move it below workflow or agents",
)
def no_old_roots(subject: Subject) -> Iterator[Found]:
    """Yield each root member of older generations."""
    for key in _FORBIDDEN_IN_C:
        if key in subject.manifest:
            yield Found(at=(key,), message=f"{key} is not allowed in mn.workflow manifests")


@rule(
    "M-10",
    STRICT,
    "ABC",
    "manifest.license",
    "license must point to LICENSE.md",
    help='add "license": "LICENSE.md" and the file',
)
def license_is_there(subject: Subject) -> Iterator[Found]:
    """Yield if `license` names no file of the bundle."""
    yield from _names_a_file(subject, "license")


@rule(
    "M-11",
    STRICT,
    "ABC",
    "manifest.term",
    "term must point to TERM.md",
    help='add "term": "TERM.md" and the file',
)
def term_is_there(subject: Subject) -> Iterator[Found]:
    """Yield if `term` names no file of the bundle."""
    yield from _names_a_file(subject, "term")


def _names_a_file(subject: Subject, key: str) -> Iterator[Found]:
    path = subject.manifest.get(key)
    if not is_text(path) or unsafe_path(path) or not subject.files.is_file(tidy(path)):
        yield Found(at=(key,), expected="the relative path of a file in the bundle", actual=path)


@rule(
    "M-12",
    ERROR,
    "*",
    "manifest.type",
    "type must be service or omitted for batch",
    help="use service for a job that runs until it is stopped, else leave type out",
)
def type_is_known(subject: Subject) -> Iterator[Found]:
    """Yield if `type` is neither batch nor service."""
    kind = subject.manifest.get("type")
    if kind is not None and (not isinstance(kind, str) or kind.lower() not in ("batch", "service")):
        yield Found(at=("type",), expected=["service", "batch"], actual=kind)


@rule(
    "M-13",
    ERROR,
    "*",
    "manifest.context_engine",
    "required_context_engine must be a boolean",
    help="write true or false, without quotes",
)
def context_flag_is_boolean(subject: Subject) -> Iterator[Found]:
    """Yield if the flag, in either spelling, is no boolean."""
    for key in ("requiredContextEngine", "required_context_engine"):
        flag = subject.manifest.get(key)
        if flag is not None and not isinstance(flag, bool):
            yield Found(
                at=(key,), message=f"{key} must be a boolean", expected="true or false", actual=flag
            )


@rule(
    "M-14",
    STRICT,
    "ABC",
    "manifest.requirements",
    "requirements must declare minimum cpu, gpu, memory and disk",
    help='add "requirements": {"cpu": 1, "gpu": 0, "memory": "512 MB", "disk": "1 GB"}',
)
def requirements_are_declared(subject: Subject) -> Iterator[Found]:
    """Yield if `requirements` is missing or lacks one of the four."""
    needs = requirements_of(subject.manifest)
    if needs is None:
        yield Found(at=("requirements",), expected=list(_NEEDS))
    elif isinstance(needs, dict):
        missing = [key for key in _NEEDS if key not in needs]
        if missing:
            yield Found(
                at=("requirements",),
                message=f"requirements must declare minimum {', '.join(missing)}",
                expected=list(_NEEDS),
                actual=sorted(needs),
            )


@rule(
    "M-15",
    STRICT,
    "ABC",
    "manifest.input_validation",
    "input_validation with a rules list is required",
    help='add "input_validation": {"rules": []}, or rules that check the inputs',
)
def input_validation_is_declared(subject: Subject) -> Iterator[Found]:
    """Yield if no input validation is declared anywhere."""
    found = input_validation_of(subject)
    if found is None or (isinstance(found[1], dict) and "rules" not in found[1]):
        yield Found(at=("input_validation",), expected="an object with a list `rules`")


@rule(
    "M-16",
    ERROR,
    "*",
    "manifest.policies",
    "policies must be an object",
    help="write policies as { … }, or leave them out",
)
def policies_are_an_object(subject: Subject) -> Iterator[Found]:
    """Yield if `policies` is something else."""
    policies = subject.manifest.get("policies")
    if policies is not None and not isinstance(policies, dict):
        yield Found(at=("policies",), expected="an object", actual=policies)


@rule(
    "M-17",
    ERROR,
    "*",
    "manifest.metadata",
    "metadata must be an object",
    help="write metadata as { … } with at least blueprint_id and name",
)
def metadata_is_an_object(subject: Subject) -> Iterator[Found]:
    """Yield if `metadata` is something else, or (only in strict) missing."""
    metadata = subject.manifest.get("metadata")
    if metadata is None:
        if subject.generation.letter != "S":
            yield Found(at=("metadata",), message="metadata is required", severity=STRICT)
    elif not isinstance(metadata, dict):
        yield Found(at=("metadata",), expected="an object", actual=metadata)


@rule(
    "M-18",
    ERROR,
    "C",
    "manifest.contract",
    "contract with inputs and outputs.primary is required",
    help="add contract.inputs and contract.outputs.primary, both objects",
)
def contract_is_complete(subject: Subject) -> Iterator[Found]:
    """Yield each required object of the contract that is missing."""
    contract = subject.manifest.get("contract")
    if not isinstance(contract, dict):
        yield Found(at=("contract",), message="contract is required", actual=contract)
        return
    if not isinstance(contract.get("inputs"), dict):
        yield Found(at=("contract", "inputs"), message="contract.inputs must be an object")
    if not isinstance(mapping(contract.get("outputs")).get("primary"), dict):
        yield Found(
            at=("contract", "outputs", "primary"),
            message="contract.outputs.primary must be an object",
        )


@rule(
    "M-19",
    STRICT,
    "ABC",
    "manifest.standard_version",
    "standard version 1.0 required",
    help='add "standard": {"version": "1.0"} to the metadata',
)
def standard_is_declared(subject: Subject) -> Iterator[Found]:
    """Yield if the manifest names no standard version, or another; C-02 looks at the config."""
    manifest = subject.manifest
    for declared in (
        manifest.get("standard_version"),
        _version_of(subject.metadata.get("standard")),
        subject.metadata.get("standard_version"),
        _version_of(manifest.get("standard")),
    ):
        if declared is not None:
            if str(declared) != "1.0":
                yield Found(at=("standard_version",), expected="1.0", actual=declared)
            return
    yield Found(at=("metadata", "standard"), expected="1.0")


def _version_of(standard: Any) -> Any:
    return standard.get("version") if isinstance(standard, dict) else standard


@rule(
    "M-40",
    ERROR,
    "A",
    "manifest.daemon_flag",
    "daemon must be a boolean",
    help='write true or false without quotes, or better "type": "service"',
)
def daemon_is_boolean(subject: Subject) -> Iterator[Found]:
    """Yield if `daemon` is no boolean."""
    daemon = subject.manifest.get("daemon")
    if daemon is not None and not isinstance(daemon, bool):
        yield Found(at=("daemon",), expected="true or false", actual=daemon)


def has_steps(manifest: JsonObject) -> bool:
    """Tell whether a manifest of generation B or C declares steps."""
    return any(
        bool(listing(mapping(manifest.get(home)).get("steps"))) for home in ("flow", "workflow")
    )
