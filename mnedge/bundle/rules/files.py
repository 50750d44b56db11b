"""Rules about the files of a bundle."""

from collections.abc import Iterator
from typing import Any

from mnedge.bundle.json_text import JsonInvalidError
from mnedge.bundle.rules.registry import ERROR, STRICT, WARNING, Found, rule
from mnedge.bundle.subject import Document, Subject, is_text, mapping, objects

REQUIRED = ("README.md", "SPEC.md", "LICENSE.md", "TERM.md")
KNOWLEDGE = frozenset({"init", "custom", "learned"})
VENDORED = frozenset({"node_modules", ".venv", "site-packages", "__pycache__", "_vendor"})
_BUNDLE_BYTES = 1 << 20
_FILE_BYTES = 250 << 10


@rule(
    "B-02",
    ERROR,
    "*",
    "bundle.manifest_missing",
    "manifest.json is required",
    help="name the folder that holds manifest.json, or add the file",
)
def manifest_is_there(subject: Subject) -> Iterator[Found]:
    """Yield if there is no manifest."""
    if not subject.manifest_document.present:
        yield Found(expected="a file manifest.json")


@rule(
    "B-03",
    STRICT,
    "*",
    "bundle.file_missing",
    "a required file is missing",
    help="add the file; every published blueprint carries it",
)
def documents_are_there(subject: Subject) -> Iterator[Found]:
    """Yield each of the four texts that is missing."""
    for name in REQUIRED:
        if not subject.files.is_file(name):
            yield Found(file=name, message=f"required file {name} is missing")


@rule(
    "B-04",
    ERROR,
    "*",
    "bundle.config_missing",
    "config/default.json is required",
    help="add config/default.json, a JSON object with the blueprint's settings",
)
def config_is_there(subject: Subject) -> Iterator[Found]:
    """Yield if there is no default config."""
    inline = mapping(subject.manifest.get("config")).get("data")
    if not subject.config_document.present and not (
        subject.generation.letter == "S" and isinstance(inline, dict)
    ):
        severity = STRICT if subject.is_compiled_python else ""
        yield Found(file="config/default.json", severity=severity)


@rule(
    "B-05",
    STRICT,
    "*",
    "bundle.payloads_missing",
    "payloads directory is required",
    help="make a folder payloads/; a placeholder file keeps an empty one in git",
)
def payloads_are_there(subject: Subject) -> Iterator[Found]:
    """Yield if `payloads/` is missing (a warning: git cannot keep an empty folder) or no folder."""
    if subject.files.is_file("payloads"):
        yield Found(file="payloads", message="payloads must be a directory", severity=ERROR)
    elif not subject.files.is_dir("payloads"):
        yield Found(file="payloads")


@rule(
    "B-06",
    STRICT,
    "*",
    "bundle.not_listed",
    "blueprint not listed in index.json",
    help="add a row with this id to the catalogue's index.json",
)
def listed_in_catalogue(subject: Subject) -> Iterator[Found]:
    """Yield if the catalogue that the folder stands in does not list it."""
    if subject.catalogue is None or subject.expected_id is None:
        return
    if _row(subject) is None:
        yield Found(
            file="index.json",
            message=f"blueprint {subject.expected_id} is not listed in index.json",
            expected=subject.expected_id,
        )


@rule(
    "B-07",
    STRICT,
    "*",
    "bundle.knowledge_layout",
    "knowledge/ must contain exactly init, custom and learned",
    help="move the content below knowledge/init, knowledge/custom or knowledge/learned",
)
def knowledge_has_three_folders(subject: Subject) -> Iterator[Found]:
    """Yield if `knowledge/` has other folders, or lacks one."""
    below = [name.split("/") for name in subject.files.names() if name.startswith("knowledge/")]
    folders = {parts[1] for parts in below if len(parts) > 2}
    folders |= {name for name in KNOWLEDGE if subject.files.is_dir(f"knowledge/{name}")}
    if (below or subject.files.is_dir("knowledge")) and folders != KNOWLEDGE:
        yield Found(file="knowledge", expected=sorted(KNOWLEDGE), actual=sorted(folders))


@rule(
    "B-08",
    ERROR,
    "*",
    "bundle.unsafe_file",
    "the bundle holds something that is no plain file of its own",
    help="replace it by a plain file or folder inside the bundle, or take it out",
)
def only_plain_files(subject: Subject) -> Iterator[Found]:
    """Yield each link, device and unreadable name."""
    for name, reason in subject.files.unsafe:
        yield Found(file=name, message=f"{name} {reason}")


@rule(
    "B-09",
    ERROR,
    "*",
    "bundle.not_an_object",
    "the file must hold a JSON object",
    help="make the whole file one JSON object, { … }",
)
def documents_are_objects(subject: Subject) -> Iterator[Found]:
    """Yield each of the JSON files that is broken or holds something else."""
    for document in (
        subject.config_document,
        subject.overwrite_document,
        subject.scenario_document,
    ):
        yield from broken(document)


def broken(document: Document) -> Iterator[Found]:
    """Yield what is wrong with a JSON file as a whole."""
    if document.error is not None:
        yield _broken(document.name, document.error, "is not valid JSON")
    elif document.present and document.at_hand and not isinstance(document.value, dict):
        kind = kind_of(document.value)
        yield Found(
            file=document.name,
            message=f"{document.name} must hold a JSON object, not {kind}",
            expected="an object",
            actual=document.value,
        )
    for twice in document.duplicates:
        yield _broken(document.name, twice, "is ambiguous")


def _broken(name: str, error: JsonInvalidError, what: str) -> Found:
    place = f" at line {error.line}, column {error.column}" if error.line else ""
    return Found(
        file=name,
        message=f"{name} {what}{place}: {error.message}",
        help="mend the file at the place named" if error.line else "",
        line=error.line or None,
        column=error.column or None,
    )


def kind_of(value: Any) -> str:
    """Return what a JSON value is, in words."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"


@rule(
    "B-20",
    WARNING,
    "*",
    "bundle.root_requirements",
    "requirements.txt at the root is never installed",
    help="put it below payloads/ and name it in an executor's python_environment.requirements",
)
def no_root_requirements(subject: Subject) -> Iterator[Found]:
    """Yield if there is a `requirements.txt` that nothing reads."""
    if subject.files.is_file("requirements.txt"):
        yield Found(file="requirements.txt")


@rule(
    "B-21",
    WARNING,
    "*",
    "bundle.oversized",
    "the bundle carries more than its own content",
    help="leave vendored packages, caches and large files out of the bundle",
)
def stays_small(subject: Subject) -> Iterator[Found]:
    """Yield vendored folders once each, files over 250 KB, and a whole over 1 MB."""
    vendored: set[str] = set()
    total = 0
    for name in subject.files.names():
        size = subject.files.size(name) or 0
        total += size
        folder = next((part for part in name.split("/")[:-1] if part in VENDORED), None)
        if folder is not None:
            vendored.add(name.partition(f"{folder}/")[0] + folder)
        elif size > _FILE_BYTES:
            yield Found(file=name, message=f"{name} is larger than 250 KB", actual=size)
    for name in sorted(vendored):
        yield Found(file=name, message=f"{name} is a vendored or generated folder")
    if total > _BUNDLE_BYTES:
        yield Found(file=".", message="the bundle is larger than 1 MB", actual=total)


@rule(
    "B-22",
    WARNING,
    "*",
    "bundle.listed_differently",
    "index.json does not mirror the bundle",
    help="copy the value from the bundle into its row of index.json",
)
def catalogue_row_mirrors(subject: Subject) -> Iterator[Found]:
    """Yield each member of the catalogue row that is missing or says something else."""
    row = _row(subject)
    if row is None:
        return
    manifest, metadata = subject.manifest, subject.metadata
    for key, value in (
        ("name", manifest.get("name") or metadata.get("name")),
        ("category", metadata.get("category")),
        ("description", metadata.get("description") or manifest.get("description")),
        ("graph_id", manifest.get("graph_id")),
        ("job_name", manifest.get("job_name")),
    ):
        if is_text(value) and row.get(key) != value:
            yield Found(
                file="index.json",
                at=(key,),
                message=f"index.json says another {key} than the bundle",
                expected=value,
                actual=row.get(key),
            )
    product = mapping(row.get("product"))
    for key in ("problem", "input", "output", "how_it_works", "benefit", "target_users"):
        if not product.get(key):
            yield Found(
                file="index.json",
                at=("product", key),
                message=f"index.json has no product.{key} for this blueprint",
            )


def _row(subject: Subject) -> dict[str, Any] | None:
    if subject.catalogue is None:
        return None
    return next(
        (row for row in rows_of(subject.catalogue.value) if row.get("id") == subject.expected_id),
        None,
    )


def rows_of(index: Any) -> list[dict[str, Any]]:
    """Return the rows of an `index.json`: a list, or a list under `blueprints` or `items`."""
    if isinstance(index, dict):
        index = index.get("blueprints", index.get("items"))
    return [row for _, row in objects(index)]
