"""Whether distributions fit this program: interpreter, machine, what they need, what they hide.

Uses `packaging` (tags, versions, markers): these rules are long, settled and kept well there.
Scans all that is bundled, which is slow: done when an operator installs or checks, never at a
start.
"""

import importlib.metadata
import importlib.util
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from msgspec import Struct
from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import sys_tags
from packaging.utils import canonicalize_name
from packaging.version import Version

from mnedge.plugins.problem import Problem

RESERVED = frozenset({"__main__", "__mnedge__"})
_OUR_ABI = f"cp{sys.version_info.major}{sys.version_info.minor}"


class Neighbour(Struct, frozen=True, kw_only=True):
    """What matters of a distribution to others: installed, or about to be."""

    name: str
    version: str
    requires: tuple[str, ...] = ()
    requires_python: str = ""
    tops: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"


def bundled(own_version: str, *, outside: Sequence[str] = ()) -> dict[str, Neighbour]:
    """Return what came with this program, by name; `outside`: folders that did not."""
    found: dict[str, Neighbour] = {}
    path = [entry for entry in sys.path if entry not in outside]
    for distribution in importlib.metadata.distributions(path=path):
        name = distribution.metadata["Name"]
        if not name:
            continue
        normal = str(canonicalize_name(name))
        requires = tuple(distribution.requires or ())
        found.setdefault(
            normal, Neighbour(name=normal, version=distribution.version, requires=requires)
        )
    found["mnedge"] = Neighbour(name="mnedge", version=own_version)
    return found


def misfit_problems(
    tags: Mapping[str, Sequence[str]], beside: Mapping[str, Neighbour], outside: Sequence[str]
) -> Iterator[Problem]:
    """Yield what is wrong with each alone, and beside the others.

    `tags`: name → what it is made for; `outside`: folders that did not come with this program.
    """
    supported, found_here = frozenset(supported_tags()), where_found(outside)
    for name, made_for in tags.items():
        one = beside[name]
        yield from tag_problems(one.label, made_for, supported)
        yield from python_problems(one)
        yield from shadow_problems(one, beside.values(), found_here)


def tag_problems(label: str, tags: Sequence[str], supported: Iterable[str]) -> Iterator[Problem]:
    """Yield if none of its tags is one that this interpreter takes. Pure."""
    if not set(tags).isdisjoint(supported):
        return
    made_for = ", ".join(tags[:4]) + (", …" if len(tags) > 4 else "")
    yield Problem(
        message=f"{label} is made for {made_for or 'nothing it names'}; this is {here()}",
        hint=f"get the wheel for {_OUR_ABI}, abi3 or py3-none-any on {platform.machine()}",
    )


def supported_tags() -> list[str]:
    """Return every tag that this interpreter on this machine takes, best first."""
    return [str(tag) for tag in sys_tags()]


def here() -> str:
    """Return interpreter, machine and C library, as people say them."""
    library = " ".join(word for word in platform.libc_ver() if word)
    python = platform.python_version()
    return ", ".join(part for part in (f"Python {python}", platform.machine(), library) if part)


def python_problems(part: Neighbour) -> Iterator[Problem]:
    """Yield if it wants another Python."""
    if not part.requires_python:
        return
    python = platform.python_version()
    try:
        fits = SpecifierSet(part.requires_python).contains(python, prereleases=True)
    except ValueError:  # no version, or one of more digits than Python reads
        told = f"{part.label} wants Python {part.requires_python[:80]!r}, no version"
        yield Problem(message=told)
        return
    if not fits:
        yield Problem(
            message=f"{part.label} wants Python {part.requires_python}, this is {python}",
            hint="get a version of it for this Python",
        )


def requirement_problems(
    parts: Mapping[str, Neighbour], came_along: Mapping[str, Neighbour]
) -> Iterator[Problem]:
    """Yield what any of `parts` needs and neither these nor the program's own have."""
    told: set[str] = set()
    for part in parts.values():
        for problem in _unmet(part, parts, came_along):
            if problem.message not in told:
                told.add(problem.message)
                yield problem


def needed_by(name: str, parts: Iterable[Neighbour]) -> list[str]:
    """Return the names of those that require a distribution."""
    return sorted(
        {
            part.name
            for part in parts
            for requirement in _requirements(part, frozenset())
            if isinstance(requirement, Requirement)
            and str(canonicalize_name(requirement.name)) == name
        }
    )


def shadow_problems(
    part: Neighbour, others: Iterable[Neighbour], found_here: Callable[[str], str]
) -> Iterator[Problem]:
    """Yield for each name that something else has already; the plugin would never be seen.

    `found_here`: name → where this program finds it without plugins, or nothing.
    """
    for top in part.tops:
        place = found_here(top)
        if place or top in RESERVED:
            yield Problem(
                message=f"{part.label} brings a module {top!r}, which {place or 'is reserved'}",
                hint="its author has to name it otherwise",
            )
    for other in others:
        if other.name == part.name:
            continue
        shared = {*part.tops} & {*other.tops} - ({*part.namespaces} & {*other.namespaces})
        for top in sorted(shared):
            yield Problem(
                message=f"{part.label} and {other.label} both bring a module {top!r}",
                hint=f"remove {other.name} first, if this one takes its place",
            )


def where_found(outside: Sequence[str]) -> Callable[[str], str]:
    """Return what tells where this program finds a module of its own, as half a sentence."""

    def found(top: str) -> str:
        if top in sys.stdlib_module_names or top in sys.builtin_module_names:
            return "is one of Python's own"
        kept = list(sys.path)
        sys.path[:] = [entry for entry in kept if entry not in outside]
        try:
            with suppress(ImportError, ValueError):
                spec = importlib.util.find_spec(top)
                origin = None if spec is None else spec.origin or "as a namespace"
                return "" if origin is None else f"is bundled with mnedge ({origin})"
            return ""
        finally:
            sys.path[:] = kept

    return found


def _requirements(part: Neighbour, extras: frozenset[str]) -> Iterator[Requirement | str]:
    """Yield what a distribution needs here; a text that is no requirement as it stands."""
    for line in part.requires:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            yield line
            continue
        marker = requirement.marker
        try:
            wanted = marker is None or any(
                marker.evaluate({"extra": extra}) for extra in (*sorted(extras), "")
            )
        except (UndefinedEnvironmentName, ValueError):
            yield line
            continue
        if wanted:
            yield requirement


def _takes(wanted: SpecifierSet, version: str) -> bool:
    try:
        return wanted.contains(Version(version), prereleases=True)
    except ValueError:  # a version of more digits than Python reads
        return False


def _unmet(
    part: Neighbour,
    parts: Mapping[str, Neighbour],
    came_along: Mapping[str, Neighbour],
    extras: frozenset[str] = frozenset(),
    seen: frozenset[str] = frozenset(),
) -> Iterator[Problem]:
    for requirement in _requirements(part, extras):
        if isinstance(requirement, str):
            yield Problem(message=f"{part.label} needs {requirement!r}, which cannot be read")
            continue
        name = str(canonicalize_name(requirement.name))
        there = came_along.get(name) or parts.get(name)
        plain = f"{requirement.name}{requirement.specifier}"
        if there is None:
            yield Problem(
                message=f"{part.label} needs {plain}, which is not here",
                hint="put its wheel beside the plugin's in one folder, and install the folder",
            )
        elif not _takes(requirement.specifier, there.version):
            whose = "mnedge brings" if name in came_along else "the depot has"
            hint = (
                f"get a version of {part.name} that takes {there.label}"
                if name in came_along
                else f"install a version of {name} that all of them take"
            )
            yield Problem(
                message=f"{part.label} needs {plain}, and {whose} {there.version}", hint=hint
            )
        elif requirement.extras and f"{name}[{sorted(requirement.extras)}]" not in seen:
            told = seen | {f"{name}[{sorted(requirement.extras)}]"}
            yield from _unmet(there, parts, came_along, frozenset(requirement.extras), told)
