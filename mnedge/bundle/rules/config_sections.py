"""Rules about the sections of the config as a whole."""

from collections.abc import Iterator
from typing import Any

from mnedge.bundle import bindings
from mnedge.bundle.config import look_up
from mnedge.bundle.rules.registry import ERROR, STRICT, WARNING, Found, rule
from mnedge.bundle.subject import Subject, is_text, listing, mapping, objects

FILE = "config/default.json"
REQUIRED = (
    "standard_version",
    "identity",
    "mode",
    "metadata",
    "inputs",
    "simulation",
    "llm",
    "outputs",
    "logging",
    "resources",
    "human_control",
    "real_adapters",
    "interfaces",
    "execution_model",
)
RECOMMENDED = (
    "state",
    "capabilities",
    "privacy",
    "triggers",
    "backpressure",
    "determinism",
    "schemas",
    "budgets",
    "agent_handoffs",
)
KNOWN = frozenset(
    {
        *REQUIRED,
        *RECOMMENDED,
        "streams",
        "input_skills",
        "output_skills",
        "error_handling",
        "web_ui",
        "memory_layer",
        "local_inputs",
        "manifest_config_bindings",
        "skill_runtime",
        "execution",
        "testing",
        "openshell",
        "service",
    }
)
"""Sections with a contract of their own."""

_SHAPES: dict[str, tuple[type, ...]] = {
    "standard_version": (str, int, float),
    "execution_model": (list, str, dict),
    "mode": (str, dict),
    "capabilities": (dict, list),
    "agent_handoffs": (dict, list),
    "manifest_config_bindings": (list,),
}
_WORDS: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "a number",
    float: "a number",
}
_ORDER = (
    "resolve_config",
    "load_inputs",
    "start_run_store",
    "emit_events",
    "write_final_artifact",
)


@rule(
    "C-01",
    STRICT,
    "*",
    "config.section_missing",
    "a required config section is missing",
    help="add the section; until then the shared default holds",
)
def sections_are_there(subject: Subject) -> Iterator[Found]:
    """Yield each of the fourteen required sections that is missing.

    What an authoring source lends the config only makes it a warning.
    """
    for name in REQUIRED:
        if name not in subject.config:
            yield Found(
                file=FILE,
                at=(name,),
                message=f"missing config section {name}",
                severity=WARNING if name in subject.supplied else "",
            )


@rule(
    "C-02",
    STRICT,
    "*",
    "config.standard_version",
    'standard_version must be "1.0"',
    help='write "standard_version": "1.0"',
)
def standard_version_is_known(subject: Subject) -> Iterator[Found]:
    """Yield if the config follows another version of the standard."""
    version = subject.config.get("standard_version")
    if version is not None and str(version) != "1.0":
        yield Found(file=FILE, at=("standard_version",), expected="1.0", actual=version)
    elif version is None and subject.generation.letter == "S":
        yield Found(file=FILE, at=("standard_version",), expected="1.0")


@rule(
    "C-03",
    ERROR,
    "*",
    "config.identity",
    "identity.blueprint_id must be the name of the bundle's folder",
    help="write the folder's name as identity.blueprint_id",
)
def identity_is_the_folder(subject: Subject) -> Iterator[Found]:
    """Yield if the id is another than the folder's name; if it is missing, in strict."""
    declared = mapping(subject.supplied.get("identity")).get("blueprint_id")
    at = ("identity", "blueprint_id")
    if declared is None:
        yield Found(
            file=FILE,
            at=at,
            message="identity.blueprint_id is required",
            expected=subject.expected_id,
            severity=STRICT,
        )
    elif not is_text(declared) or declared != (subject.expected_id or declared):
        yield Found(file=FILE, at=at, expected=subject.expected_id, actual=declared)


@rule(
    "C-04",
    ERROR,
    "*",
    "config.section_type",
    "a config section has the wrong type",
    help="write the section as the manual shows it, usually { … }",
)
def sections_have_their_type(subject: Subject) -> Iterator[Found]:
    """Yield each known section of the wrong JSON type."""
    for name in sorted(KNOWN):
        value = subject.config.get(name)
        shapes = _SHAPES.get(name, (dict,))
        if value is None or (isinstance(value, shapes) and not isinstance(value, bool)):
            continue
        wanted = " or ".join(dict.fromkeys(_WORDS[shape] for shape in shapes))
        yield Found(
            file=FILE,
            at=(name,),
            message=f"config section {name} must be {wanted}",
            expected=wanted,
            actual=value,
        )


@rule(
    "C-30",
    WARNING,
    "*",
    "config.undeclared_section",
    "a section beyond the required ones is not declared",
    help="list it in interfaces.config_sections and in metadata.interfaces.config",
)
def own_sections_are_declared(subject: Subject) -> Iterator[Found]:
    """Yield each section beyond the fourteen that the bundle's interfaces do not list."""
    declared: set[str] = set()
    for names in (
        subject.section("interfaces").get("config_sections"),
        mapping(subject.metadata.get("interfaces")).get("config"),
    ):
        members = names if isinstance(names, dict | list) else []
        declared |= {name for name in members if isinstance(name, str)}
    for name in subject.config:
        if name not in REQUIRED and name not in declared:
            yield Found(file=FILE, at=(name,), message=f"config section {name} is not declared")


@rule(
    "C-35",
    WARNING,
    "*",
    "config.recommended_missing",
    "recommended config sections are missing",
    help="add them, if only to say that nothing of the kind is needed",
)
def recommended_sections_are_there(subject: Subject) -> Iterator[Found]:
    """Yield the recommended sections that are missing, together."""
    missing = [name for name in RECOMMENDED if name not in subject.config]
    if missing:
        yield Found(
            file=FILE,
            message=f"recommended config sections are missing: {', '.join(missing)}",
            expected=missing,
        )


@rule(
    "C-36",
    WARNING,
    "*",
    "config.execution_order",
    "execution_model is not in the shared order",
    help=f"keep the order {', '.join(_ORDER)}",
)
def execution_steps_are_ordered(subject: Subject) -> Iterator[Found]:
    """Yield if the shared steps stand in another order."""
    model: Any = subject.config.get("execution_model")
    if isinstance(model, str):
        model = [step.strip() for step in model.split("->")]
    steps = [step for step in listing(model) if step in _ORDER]
    if steps != sorted(steps, key=_ORDER.index):
        yield Found(file=FILE, at=("execution_model",), expected=list(_ORDER), actual=steps)


@rule(
    "C-37",
    WARNING,
    "*",
    "config.binding",
    "a manifest binding cannot be used; it is ignored",
    help='write {"config_path": "a.b", "manifest_path": "nodes.<id>.config.x"}',
)
def bindings_can_be_used(subject: Subject) -> Iterator[Found]:
    """Yield each malformed binding, and each whose manifest path leads nowhere."""
    for index, entry in bindings.declared(subject.config):
        at = (bindings.SECTION, index)
        if isinstance(entry, str):
            yield Found(file=FILE, at=at, message=f"binding number {index + 1} {entry}")
        elif subject.manifest and not bindings.leads_somewhere(
            subject.graph or subject.manifest, entry.target
        ):
            yield Found(
                file=FILE,
                at=(*at, "manifest_path"),
                message=f"binding number {index + 1}: {entry.target} is not in the manifest",
                actual=entry.target,
            )


@rule(
    "C-45",
    WARNING,
    "*",
    "config.review_path",
    "init_config_review names a path that the default config does not have",
    help="correct the path, or add the setting to config/default.json",
)
def reviewed_paths_exist(subject: Subject) -> Iterator[Found]:
    """Yield each path of the configuration review that leads nowhere."""
    review = subject.metadata.get("init_config_review")
    fields = review if isinstance(review, list) else mapping(review).get("fields")
    for index, entry in objects(fields):
        path = entry.get("path")
        if is_text(path) and not _has(subject.config, path):
            at = ("metadata", "init_config_review", "fields", index, "path")
            yield Found(at=at, message=f"{path} is not in config/default.json", actual=path)


def _has(config: dict[str, Any], path: str) -> bool:
    parent, _, last = path.rpartition(".")
    holder = look_up(config, parent) if parent else config
    return last in holder if isinstance(holder, dict) else look_up(config, path) is not None
