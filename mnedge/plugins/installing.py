"""Bring a plugin into the depot, let it in, take it out again, look whether it is still good.

Everything is judged before anything is changed; what is unpacked lies aside until it was probed,
and is then moved to its place whole. A daemon that runs goes on with what it loaded: a change
counts from its next start.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from mnedge.plugins import fitting
from mnedge.plugins.asking import Report, Request, Trouble
from mnedge.plugins.choosing import Choice, chosen, needed, require_fit
from mnedge.plugins.depot import Quarantine, Record, Verdict, altered, normal, seen
from mnedge.plugins.outside import Terms, key_of, libraries, misfits, neighbour_of, probed
from mnedge.plugins.probe import probe
from mnedge.plugins.problem import PluginRefusedError, Problem, refused
from mnedge.plugins.unpacking import unpack
from mnedge.plugins.wheel import Distribution, read_folder, read_wheel


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of one plugin."""

    record: Record
    was: Record | None = None
    """What it took the place of."""
    report: Report | None = None
    notes: tuple[str, ...] = ()


class Removed(Struct, frozen=True, kw_only=True):
    """What was taken out."""

    record: Record
    libraries: tuple[Record, ...] = ()
    in_use: bool = False
    """A process that runs has loaded it; the files go when that process has ended."""


class Checked(Struct, frozen=True, kw_only=True):
    """How one plugin does now."""

    record: Record
    problems: tuple[Problem, ...]
    report: Report | None = None


def install(
    sources: Sequence[Path | Distribution], terms: Terms, *, allow: bool | None, by: str
) -> list[Outcome]:
    """Unpack wheels or folders of them into the depot, and probe what was never probed.

    `sources`: those, or what `read` made of them.
    `allow`: True lets them in from the next start on, False keeps them out, None leaves that as it
    was (off, if they are new). One that its probe finds bad is kept, quarantined.
    Raises: PluginRefusedError with all that is wrong; nothing was changed then.
    """
    distributions = [
        one
        for source in sources
        for one in (read(source) if isinstance(source, Path) else [source])
    ]
    came_along = fitting.bundled(terms.version, outside=_folders(terms))
    choice = chosen(distributions, came_along)
    there = {record.name: record for record in terms.depot.records()}
    require_fit(choice, there, came_along, _folders(terms))
    with terms.depot.staging() as staging:
        staged = {name: _staged(one, staging, terms, by) for name, one in choice.all.items()}
        terms.depot.own(staging)
        after = there | _with_past(staged, there, choice)
        reports = {name: _met(after[name], after, staging, there, terms) for name in choice.plugins}
        with terms.depot.changing() as records:
            if records != there:  # somebody was quicker: judge again
                require_fit(choice, records, came_along, _folders(terms))
            outcomes = []
            for name, record in _with_past(staged, records, choice).items():
                terms.depot.settle(staging / record.folder, record)
                place = terms.depot.place(record)
                kept = msgspec.structs.replace(record, seen=seen(place, list(record.files)))
                was = records.get(name)
                records[name] = kept
                if name in choice.plugins:
                    outcomes.append((name, was))
            for name, _ in outcomes:
                key = key_of(after[name], after, terms.version)
                reports[name] = _beside(records[name], reports[name], records, terms, allow)
                records[name] = _decided(records[name], reports[name], key, terms, allow, by)
            for name in _unneeded(records):
                del records[name]
            done = {name: records[name] for name, _ in outcomes}
    return [
        Outcome(record=done[name], was=was, report=reports[name], notes=choice.notes)
        for name, was in outcomes
    ]


def permit(name: str, terms: Terms, *, allow: bool, by: str) -> Outcome:
    """Let an installed plugin in from the next start on, or keep it out; let in, it is probed.

    Raises: PluginUnknownError; PluginRefusedError if it is a library, or was altered.
    """
    was = terms.depot.find(name)
    if not was.is_plugin:
        told = Problem(message="it is a library that plugins need: nothing to let in")
        raise PluginRefusedError(was.label, [told])
    there = {record.name: record for record in terms.depot.records()}
    report = None
    if allow:
        wrong = [
            Problem(message=f"{part.label}: {said}", hint="install it again, from its wheel")
            for part in (was, *libraries(was, there))
            for said in altered(terms.depot.place(part), part.files)
        ]
        if wrong:
            raise PluginRefusedError(f"{was.label} cannot be let in", wrong[:20])
        report = probed(was, there, terms.depot, terms.probing)
    with terms.depot.changing() as records:
        if records.get(was.name) is None:
            raise PluginRefusedError(was.label, [Problem(message="it was removed meanwhile")])
        record = records[was.name]
        if report is not None:
            report = _beside(record, report, records, terms, allow)
        if allow:
            record = msgspec.structs.replace(record, quarantine=None, strikes=0)
        done = _decided(record, report, key_of(was, there, terms.version), terms, allow, by)
        records[was.name] = done
    return Outcome(record=done, was=was, report=report)


def remove(name: str, terms: Terms) -> Removed:
    """Take a plugin out, and the libraries that came for it; the depot is as it was before it.

    Raises: PluginUnknownError; PluginRefusedError if something else needs it, or the configuration
    names it.
    """
    record = terms.depot.find(name)
    found = []
    if record.name in map(normal, terms.configured):
        found.append(
            Problem(
                message="the configuration names it: the next start would look for it in vain",
                hint="take it out of plugins: (or MNEDGE_PLUGINS) first",
            )
        )
    with terms.depot.changing() as records:
        if record.name not in records:
            raise PluginRefusedError(record.label, [Problem(message="it was removed meanwhile")])
        others = [neighbour_of(one) for one in records.values() if one.name != record.name]
        for other in fitting.needed_by(record.name, others):
            hint = f"remove {other} first"
            found.append(Problem(message=f"{other} needs it", hint=hint))
        if found:
            raise PluginRefusedError(f"{record.label} stays", found)
        del records[record.name]
        gone = [records.pop(unneeded) for unneeded in _unneeded(records)]
    places = [terms.depot.place(one) for one in (record, *gone)]
    in_use = any(place.exists() for place in places)
    return Removed(record=record, libraries=tuple(gone), in_use=in_use)


def check(record: Record, terms: Terms) -> Checked:
    """Look at everything again: files, interpreter, what it needs, what it hides, its probe."""
    records = {one.name: one for one in terms.depot.records()}
    found = misfits(record, records, terms)
    for part in (record, *libraries(record, records)):
        wrong = altered(terms.depot.place(part), part.files)
        found += [
            Problem(message=f"{part.label}: {said}", hint="install it again") for said in wrong[:20]
        ]
    report = None
    if record.is_plugin and not found:
        report = probed(record, records, terms.depot, terms.probing)
        report = _beside(record, report, records, terms)
        if report.trouble is not None:
            found.append(Problem(message=report.trouble.message))
    return Checked(record=record, problems=tuple(found), report=report)


def read(source: Path) -> list[Distribution]:
    """Return the distributions of a wheel or folder, judged and held open.

    Raises: PluginRefusedError with all that is wrong.
    """
    if source.is_dir():
        return read_folder(source)
    if not source.is_file():
        raise refused(str(source), [Problem(message="there is no such file or folder")])
    return [read_wheel(source)]


def _staged(one: Distribution, staging: Path, terms: Terms, by: str) -> Record:
    """Unpack it aside, and return its record."""
    raw = staging / f".{one.metadata.name}"
    raw.mkdir(mode=0o755)
    written = unpack(one, raw)
    folder = f"{one.metadata.name}-{one.metadata.version}-{written.digest[:8]}"
    raw.rename(staging / folder)
    said = one.metadata
    return Record(
        name=said.name,
        version=said.version,
        folder=folder,
        digest=written.digest,
        files=written.files,
        size_bytes=written.size_bytes,
        source=one.contents.name,
        installed_at=terms.now(),
        installed_by=by,
        tops=one.tops,
        namespaces=one.namespaces,
        entry_points=one.entry_points,
        tags=one.tags,
        requires=said.requires,
        requires_python=said.requires_python,
        summary=said.summary,
        author=said.author,
        license=said.license,
        left_out=one.left_out,
    )


def _with_past(
    staged: Mapping[str, Record], there: Mapping[str, Record], choice: Choice
) -> dict[str, Record]:
    """Return the new records with what was decided about those whose place they take."""
    found = {}
    for name, record in staged.items():
        was = there.get(name)
        if was is not None and was.digest == record.digest:
            found[name] = was
            continue
        came_with = ""
        if name in choice.libraries:
            came_with = was.came_with if was else _needing(name, choice)
        found[name] = msgspec.structs.replace(
            record,
            came_with=came_with,
            allowed=was.allowed if was else False,
            allowed_by=was.allowed_by if was else "",
            allowed_at=was.allowed_at if was else 0.0,
        )
    return found


def _needing(name: str, choice: Choice) -> str:
    """Return a plugin that brought the library along."""
    for plugin, one in choice.plugins.items():
        if name in needed({plugin: one}, choice.all):
            return plugin
    return next(iter(choice.plugins))


def _met(
    record: Record,
    after: Mapping[str, Record],
    staging: Path,
    there: Mapping[str, Record],
    terms: Terms,
) -> Report:
    """Probe a plugin that lies aside, unless this very content is known to be good."""
    was = there.get(record.name)
    key = key_of(record, after, terms.version)
    if was is not None and was.verdict is not None and was.verdict.key == key:
        return Report(brings=was.verdict.brings, took_s=was.verdict.took_s)
    places = []
    for part in (record, *libraries(record, after)):
        aside = staging / part.folder
        places.append(str(aside if aside.is_dir() else terms.depot.place(part)))
    request = Request(
        label=record.label,
        folders=tuple(places),
        points=record.entry_points,
        scratch="",
        limit_s=terms.probing.limit_s,
    )
    try:
        return probe(request, terms.probing)
    except OSError as error:
        told = Trouble(stage="install", message=f"it cannot be probed: {error}")
        return Report(trouble=told)


def _beside(
    record: Record,
    report: Report,
    records: Mapping[str, Record],
    terms: Terms,
    allow: bool | None = None,
) -> Report:
    """Return the report; with a trouble if it would be on, and one that is on has a name of its.

    What else a runner is called by is compared at the start only: a verdict does not hold it.
    """
    allowed = record.allowed if allow is None else allow
    pardoned = msgspec.structs.replace(record, allowed=allowed, quarantine=None)
    if report.trouble is not None or pardoned.state(terms.configured) != "on":
        return report
    for other in records.values():
        is_on = other.name != record.name and other.state(terms.configured) == "on"
        if not is_on or other.verdict is None:
            continue
        for hook, names in report.brings.items():
            for name in names:
                if name in other.verdict.brings.get(hook, ()):
                    said = f"its hook {hook} brings {name!r}, a name that {other.name} has already"
                    trouble = Trouble(stage="clash", message=f"{said}; remove one of the two")
                    return msgspec.structs.replace(report, trouble=trouble)
    return report


def _decided(
    record: Record,
    report: Report | None,
    key: str,
    terms: Terms,
    allow: bool | None,
    by: str,
) -> Record:
    """Return the record with the verdict of its probe, and whether it is let in.

    `key`: what was probed. If something else lies there by now, the next start probes that.
    """
    changes: dict[str, object] = {}
    if allow is not None:
        changes = {
            "allowed": allow,
            "allowed_by": by if allow else "",
            "allowed_at": terms.now() if allow else 0.0,
        }
    if report is None:
        return msgspec.structs.replace(record, **changes)
    if report.trouble is not None:
        said = report.trouble
        changes["verdict"] = None
        changes["quarantine"] = Quarantine(
            reason=said.message,
            stage=said.stage,
            at=terms.now(),
            program=terms.version,
            trace=said.trace,
        )
    else:
        changes["verdict"] = Verdict(
            key=key, brings=report.brings, took_s=report.took_s, at=terms.now()
        )
        was_altered = record.quarantine is not None and record.quarantine.stage == "altered"
        if allow or was_altered:
            changes |= {"quarantine": None, "strikes": 0}
    return msgspec.structs.replace(record, **changes)


def _unneeded(records: Mapping[str, Record]) -> list[str]:
    """Return libraries that came with a plugin, and that nobody needs any more."""
    kept: set[str] = set()
    for record in records.values():
        if record.is_plugin:
            kept |= {record.name, *(part.name for part in libraries(record, records))}
    return [name for name, record in records.items() if name not in kept and record.came_with]


def _folders(terms: Terms) -> tuple[str, ...]:
    return tuple(str(terms.depot.place(record)) for record in terms.depot.records())
