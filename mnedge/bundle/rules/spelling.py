"""Rules about old, misspelt and unusual names at the root of the manifest; all only warn."""

import re
from collections.abc import Iterator

from mnedge.bundle.rules.registry import WARNING, Found, rule
from mnedge.bundle.subject import Subject, is_text

_MISSPELT = {
    "requirments": "requirements",
    "inputValidation": "input_validation",
    "requiredServices": "required_services",
}
_KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_SNAKE = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")


@rule(
    "M-30",
    WARNING,
    "A",
    "manifest.daemon",
    "daemon is the old spelling of type: service",
    help='replace it by "type": "service"',
)
def daemon_is_old(subject: Subject) -> Iterator[Found]:
    """Yield if the manifest sets `daemon`."""
    if subject.manifest.get("daemon") is True:
        yield Found(at=("daemon",), expected='"type": "service"', actual=True)


@rule(
    "M-31",
    WARNING,
    "*",
    "manifest.spelling",
    "a root member is misspelt or in camelCase",
    help="rename it; both spellings are read for now",
)
def roots_are_spelt_right(subject: Subject) -> Iterator[Found]:
    """Yield each known misspelling."""
    for wrong, right in _MISSPELT.items():
        if wrong in subject.manifest:
            yield Found(at=(wrong,), message=f"{wrong} should be {right}", expected=right)


@rule(
    "M-32",
    WARNING,
    "B",
    "manifest.deprecated",
    "generation B is deprecated",
    help="nothing has to change; newer manifests have workflow and agents",
)
def generation_is_old(subject: Subject) -> Iterator[Found]:
    """Yield for every manifest of generation B; of A there is nothing newer that could run here."""
    yield Found(message=f"manifests of generation {subject.generation} are deprecated")


@rule(
    "M-33",
    WARNING,
    "C",
    "manifest.schema_version",
    "version is not 1",
    help='write "version": 1',
)
def version_is_one(subject: Subject) -> Iterator[Found]:
    """Yield if `version` is not the number 1."""
    version = subject.manifest.get("version")
    if isinstance(version, bool) or version != 1:
        yield Found(at=("version",), expected=1, actual=version)


@rule(
    "M-34",
    WARNING,
    "*",
    "manifest.names",
    "a name is not in its usual form",
    help="id in snake_case, job_name in kebab-case, graph_id as <id>_v<number>",
)
def names_have_their_form(subject: Subject) -> Iterator[Found]:
    """Yield each id or name in an unusual form."""
    manifest = subject.manifest
    job_name = manifest.get("job_name")
    if is_text(job_name) and not _KEBAB.fullmatch(job_name):
        yield Found(at=("job_name",), message="job_name is not kebab-case", actual=job_name)
    blueprint_id = subject.metadata.get("blueprint_id")
    if is_text(blueprint_id) and not _SNAKE.fullmatch(blueprint_id):
        yield Found(
            at=("metadata", "blueprint_id"),
            message="blueprint_id is not snake_case",
            actual=blueprint_id,
        )
    graph_id = manifest.get("graph_id")
    if (
        is_text(graph_id)
        and is_text(blueprint_id)
        and not re.fullmatch(re.escape(blueprint_id) + r"_v[0-9]+", graph_id)
    ):
        yield Found(
            at=("graph_id",),
            message="graph_id is not <blueprint_id>_v<number>",
            expected=f"{blueprint_id}_v1",
            actual=graph_id,
        )
