"""What is installed of what was given: the plugins, and the libraries that they need."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from mnedge.plugins import fitting
from mnedge.plugins.depot import Record
from mnedge.plugins.fitting import Neighbour
from mnedge.plugins.loading import GROUP
from mnedge.plugins.outside import neighbour_of
from mnedge.plugins.problem import PluginRefusedError, Problem
from mnedge.plugins.wheel import Distribution, is_cache


class Choice(Struct, frozen=True, kw_only=True):
    """The distributions of one installation, by name."""

    plugins: dict[str, Distribution]
    libraries: dict[str, Distribution]
    notes: tuple[str, ...]

    @property
    def all(self) -> dict[str, Distribution]:
        """Return both."""
        return self.plugins | self.libraries


def chosen(distributions: Sequence[Distribution], came_along: Mapping[str, Neighbour]) -> Choice:
    """Return what is installed of what was given: plugins, and the libraries they need.

    Raises: PluginRefusedError if there is no plugin, one stands there twice, or one is bundled.
    """
    found: dict[str, Distribution] = {}
    problems, notes = [], []
    for one in distributions:
        name = one.metadata.name
        if name in found:
            both = f"{found[name].label} and {one.label}"
            problems.append(Problem(message=f"{both} are given; which one is meant?"))
        elif name in came_along and one.entry_points:
            problems.append(Problem(message=f"{name} is bundled with mnedge"))
        elif name in came_along:
            notes.append(f"{one.label} is left out: mnedge brings {came_along[name].version}")
        else:
            found[name] = one
    plugins = {name: one for name, one in found.items() if one.entry_points}
    if not plugins and not problems:
        labels = ", ".join(one.label for one in distributions)
        told = Problem(
            message=f"no entry point in the group {GROUP!r}",
            hint="is it a plugin for mnedge? Its author names it in [project.entry-points]",
        )
        raise PluginRefusedError(f"{labels} brings no plugin", [told])
    if problems:
        raise PluginRefusedError("nothing is installed", problems)
    wanted = needed(plugins, found)
    notes += [
        f"{found[name].label} is left out: nothing here needs it"
        for name in sorted(found.keys() - wanted - plugins.keys())
    ]
    notes += [
        f"{found[name].label}: left out, for it is no module: {', '.join(left_out[:5])}"
        for name in (*plugins, *sorted(wanted - plugins.keys()))
        if (left_out := [path for path in found[name].left_out if not is_cache(path)])
    ]
    libraries_too = {name: found[name] for name in sorted(wanted - plugins.keys())}
    return Choice(plugins=plugins, libraries=libraries_too, notes=tuple(notes))


def needed(plugins: Mapping[str, Distribution], found: Mapping[str, Distribution]) -> set[str]:
    """Return the names of those in `found` that the plugins need, directly or not."""
    names: set[str] = set()
    while True:
        those = [neighbour_of_given(found[name]) for name in (*plugins, *names)]
        more = {name for name in found if name not in names and fitting.needed_by(name, those)}
        if not more:
            return names
        names |= more


def require_fit(
    choice: Choice,
    there: Mapping[str, Record],
    came_along: Mapping[str, Neighbour],
    outside: Sequence[str],
) -> None:
    """Go on if all of it fits into the depot as it is; `outside`: the folders of the depot.

    Raises: PluginRefusedError with all that is wrong.
    """
    beside = {name: neighbour_of(record) for name, record in there.items()}
    beside |= {name: neighbour_of_given(one) for name, one in choice.all.items()}
    tags = {name: one.tags for name, one in choice.all.items()}
    found = [*fitting.misfit_problems(tags, beside, outside)]
    found += fitting.requirement_problems(beside, came_along)
    if found:
        labels = ", ".join(one.label for one in choice.plugins.values())
        raise PluginRefusedError(f"{labels} cannot be installed", found)


def neighbour_of_given(one: Distribution) -> Neighbour:
    """Return what matters to others of a distribution that is not installed yet."""
    said = one.metadata
    return Neighbour(
        name=said.name,
        version=said.version,
        requires=said.requires,
        requires_python=said.requires_python,
        tops=one.tops,
        namespaces=one.namespaces,
    )
