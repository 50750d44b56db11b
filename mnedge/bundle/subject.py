"""What rules look at: a bundle's documents and files, read once, nothing taken for right yet."""

from collections.abc import Iterator
from math import isfinite
from typing import Any, TypeGuard

from msgspec import Struct, field

from mnedge.bundle.files import Files
from mnedge.bundle.generation import Generation
from mnedge.bundle.json_text import JsonInvalidError
from mnedge.bundle.problem import At

JsonObject = dict[str, Any]


class Document(Struct, frozen=True, kw_only=True):
    """One JSON file of the bundle."""

    name: str
    present: bool = False
    at_hand: bool = True
    """False: the file is known to be there, its content is not."""
    value: Any = None
    """The content; None if the file is absent, unreadable or not at hand."""
    content: bytes = b""
    error: JsonInvalidError | None = None
    duplicates: list[JsonInvalidError] = field(default_factory=list)

    @property
    def members(self) -> JsonObject:
        """The content if it is an object, else an empty one."""
        return self.value if isinstance(self.value, dict) else {}


class AgentEntry(Struct, frozen=True, kw_only=True):
    """One entry of the manifest's agent list, after its template was rendered."""

    index: int
    at: At
    raw: JsonObject
    rendered: JsonObject
    template_problem: tuple[str, str] | None = None
    """Rule id and message if `uses` could not be rendered."""

    @property
    def agent_id(self) -> str:
        """The id, or the empty text if it is missing or unusable."""
        name = self.raw.get("node_id")
        return name if isinstance(name, str) else ""

    @property
    def config(self) -> JsonObject:
        """Its config, empty if that is no object."""
        return mapping(self.rendered.get("config"))

    @property
    def label(self) -> str:
        """How messages call it."""
        return f"agent {self.agent_id!r}" if self.agent_id else f"agent number {self.index + 1}"


class SourceFinding(Struct, frozen=True, kw_only=True):
    """One thing that is wrong with an authoring source, as its expansion tells it."""

    rule: str
    at: At
    message: str
    hint: str
    severity: str
    expected: Any = None
    actual: Any = None


class Subject(Struct, kw_only=True):
    """A bundle as it was found."""

    files: Files
    manifest_document: Document
    config_document: Document
    overwrite_document: Document
    scenario_document: Document
    generation: Generation
    expected_id: str | None = None
    """Name of the bundle's folder; None where the folder has no name of its own."""
    catalogue: Document | None = None
    """`index.json` beside the bundle's folder, where there is one."""
    config: JsonObject = field(default_factory=dict)
    """`config/default.json` (what the author wrote), empty if unreadable."""
    agents: list[AgentEntry] = field(default_factory=list)
    agent_ids: dict[str, AgentEntry] = field(default_factory=dict)
    """Agents by id; the first of two with one id."""
    edges: list[tuple[At, JsonObject]] = field(default_factory=list)
    """Agent edges with their places."""
    steps: list[tuple[At, JsonObject]] = field(default_factory=list)
    """Steps that have an id, each id once, with their places."""
    graph: JsonObject = field(default_factory=dict)
    """The manifest that agents, edges and steps stand in: an authoring source's expansion."""
    source_problems: list[SourceFinding] = field(default_factory=list)
    """What is wrong with an authoring source."""
    unchecked: list[str] = field(default_factory=list)
    """Step definitions of an authoring source that were not loaded."""
    supplied: JsonObject = field(default_factory=dict)
    """The config, with what an authoring source lends it below."""

    @property
    def manifest(self) -> JsonObject:
        """The manifest, empty if it is unreadable."""
        return self.manifest_document.members

    @property
    def graph_generation(self) -> Generation:
        """The generation of the manifest that agents, edges and steps stand in."""
        return Generation.C if self.generation.letter == "S" else self.generation

    @property
    def manifest_is_object(self) -> bool:
        """Tell whether there is a manifest to look into."""
        return isinstance(self.manifest_document.value, dict)

    @property
    def metadata(self) -> JsonObject:
        """`metadata`, empty if it is no object."""
        return mapping(self.manifest.get("metadata"))

    @property
    def is_compiled_python(self) -> bool:
        """Tell whether the published SDK made the bundle of a Python workflow.

        It leaves out what its own runtime does not ask for.
        """
        metadata = self.metadata
        return (
            metadata.get("python_source_mode") is True
            and metadata.get("generated_by") == "mn-python-sdk"
        )

    def section(self, name: str) -> JsonObject:
        """Return a section of the config, empty if it is absent or no object."""
        return mapping(self.config.get(name))


def mapping(value: Any) -> JsonObject:
    """Return the value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def listing(value: Any) -> list[Any]:
    """Return the value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def is_text(value: Any) -> TypeGuard[str]:
    """Tell whether the value is a non-empty string."""
    return isinstance(value, str) and value != ""


def is_number(value: Any) -> TypeGuard[int | float]:
    """Tell whether the value is a number (true and false are none)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_count(value: Any, least: int = 0) -> TypeGuard[int]:
    """Tell whether the value is a whole number of at least `least`."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def as_number(value: Any) -> float | None:
    """Return a number, also one written as text, else None."""
    if is_number(value):
        return float(value)
    if isinstance(value, str) and len(value) <= 40:
        try:
            number = float(value)
        except ValueError:
            return None
        return number if isfinite(number) else None
    return None


def objects(value: Any) -> Iterator[tuple[int, JsonObject]]:
    """Yield the objects of a list with their positions."""
    for index, item in enumerate(listing(value)):
        if isinstance(item, dict):
            yield index, item
