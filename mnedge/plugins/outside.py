"""Plugins from the depot in this process: proven by a probe, then imported and asked under guard.

Nothing that one of them does here stops the node: it is quarantined, which is written down for
the next start, and told in the log.
"""

import hashlib
import logging
import os
import platform
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pluggy
from msgspec import Struct

from mnedge.errors import MnedgeError
from mnedge.plugins import boundary, shapes, suspicion
from mnedge.plugins.asking import (
    PluginUnfitError,
    Report,
    Request,
    asked,
    clash,
    imported,
    traced,
    unfit,
)
from mnedge.plugins.depot import (
    Depot,
    Quarantine,
    Record,
    Stage,
    Verdict,
    altered,
    hold,
    normal,
    seen,
)
from mnedge.plugins.probe import Probing, probe
from mnedge.plugins.problem import Problem

if TYPE_CHECKING:
    from mnedge.plugins.fitting import Neighbour

RETRIED: tuple[Stage, ...] = ("probe", "import", "hook", "clash")
"""Where another version of mnedge may come to another end; the operator decides of the others."""
MOST_STRIKES = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGALRM)
_log = logging.getLogger("mnedge.plugins")


class Terms(Struct, frozen=True, kw_only=True):
    """On what terms plugins from outside are let in."""

    depot: Depot
    configured: tuple[str, ...]
    """Names in `plugins:`."""
    version: str
    """Of this mnedge."""
    probing: Probing
    now: Callable[[], float]
    is_daemon: bool = False
    """Then what is known long since is told anew at each start."""


class Outside:
    """One plugin from outside, in this process."""

    def __init__(self, record: Record, terms: Terms, watch: suspicion.Watch) -> None:
        self.record = record
        self.fault = ""
        self.may_be_interrupted = True
        self._terms = terms
        self._watch = watch
        self._manager: pluggy.PluginManager | None = None
        self._was_asked: set[str] = set()

    @property
    def label(self) -> str:
        """Name and version."""
        return self.record.label

    def enter(self, folders: Sequence[Path]) -> None:
        """Import it, with these folders on the path."""
        for folder in folders:
            if str(folder) not in sys.path:
                sys.path.append(str(folder))  # behind ours: what is bundled always wins
        with self._guarded(), self._watch.loading(self.record.name), undisturbed():
            self._manager = imported(self.record.entry_points)

    def ask(self, hook: str, arguments: Mapping[str, Any], taken: Mapping[str, str]) -> list[Any]:
        """Return what it brings for a hook, wrapped; nothing once it is quarantined.

        `taken`: name → whose it is.
        """
        if self._manager is None or self.fault:
            return []
        with self._guarded():
            if hook in self._was_asked:  # from now on the watchdog looks after it
                things = asked(self._manager, hook, arguments)
            else:
                with self._watch.loading(self.record.name), undisturbed():
                    things = asked(self._manager, hook, arguments)
                self._was_asked.add(hook)
            with unfit("hook", f"what its hook {hook} returned changes"):
                wrappers = [boundary.wrapped(hook, thing, self) for thing in things]
            for wrapper in wrappers:  # looked at again: what was asked twice may have lied once
                if problem := shapes.shape_problem(hook, wrapper):
                    raise PluginUnfitError("hook", f"its hook {problem}")
            clash({hook: wrappers}, {hook: taken})
            return wrappers
        return []

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except PluginUnfitError as error:
            self._manager = None
            self.fault = error.message
            trace = "" if error.__cause__ is None else traced(error.__cause__)
            quarantine(self._terms, self.record, error.stage, error.message, trace)


def entered(terms: Terms) -> list[Outside]:
    """Return the plugins that are on and proven, imported; those that break at it are left out."""
    found = []
    records = {record.name: record for record in terms.depot.records()}
    watch = suspicion.watch(terms.depot.folder)
    for record in records.values():
        if not _is_proven(record, records, terms):
            continue
        parts = [record, *libraries(record, records)]
        for part in parts:
            watch.follow(part.folder, record.name)
            with suppress(OSError):
                _kept.append(hold(terms.depot.place(part)))
        plugin = Outside(record, terms, watch)
        plugin.enter([terms.depot.place(part) for part in parts])
        if not plugin.fault:
            if record.strikes:
                _changed(terms, record, strikes=0)
            _log.info("plugin %s is loaded", record.label)
            found.append(plugin)
    return found


_kept: list[int] = []
"""Folders that nobody may sweep away while this process lives: modules are read late, too."""


def prove(terms: Terms) -> None:
    """Decide which plugins may be loaded: blame, compare and probe where that is due. Once a start.

    May take a few seconds for each that is new; nothing for those that are known.
    """
    if not terms.depot.folder.is_dir():
        return
    records = {record.name: record for record in terms.depot.records()}
    known = [record for record in records.values() if record.quarantine is not None]
    for blame in suspicion.collect(terms.depot.folder):
        if blame.plugin in records:
            records[blame.plugin] = _judged(terms, records[blame.plugin], blame)
    for record in list(records.values()):
        if _is_due(record, terms):
            records[record.name] = _proven(record, records, terms)
        elif record in known and record.quarantine is not None:
            level = logging.WARNING if terms.is_daemon else logging.INFO
            reason = record.quarantine.reason
            _log.log(level, "plugin %s stays quarantined: %s", record.label, reason)


def probed(record: Record, records: Mapping[str, Record], depot: Depot, by: Probing) -> Report:
    """Return what a process of its own found in an installed plugin.

    Raises: OSError if no such process can be started.
    """
    parts = [record, *libraries(record, records)]
    request = Request(
        label=record.label,
        folders=tuple(str(depot.place(part)) for part in parts),
        points=record.entry_points,
        scratch="",
        limit_s=by.limit_s,
    )
    return probe(request, by)


def misfits(record: Record, records: Mapping[str, Record], terms: Terms) -> list[Problem]:
    """Return why an installed plugin does not fit this program, or the depot as it is.

    Slow: it looks through all that is bundled.
    """
    from mnedge.plugins import fitting

    outside = tuple(str(terms.depot.place(one)) for one in records.values())
    beside = {one.name: neighbour_of(one) for one in records.values()}
    mine = [record, *libraries(record, records)]
    found = [*fitting.misfit_problems({one.name: one.tags for one in mine}, beside, outside)]
    needing = {one.name: beside[one.name] for one in mine}
    found += fitting.requirement_problems(needing, fitting.bundled(terms.version, outside=outside))
    return found


def neighbour_of(record: Record) -> "Neighbour":
    """Return what matters of a record to others."""
    from mnedge.plugins.fitting import Neighbour

    return Neighbour(
        name=record.name,
        version=record.version,
        requires=record.requires,
        requires_python=record.requires_python,
        tops=record.tops,
        namespaces=record.namespaces,
    )


def key_of(record: Record, records: Mapping[str, Record], version: str) -> str:
    """Return what a verdict holds for: contents, libraries, this program, its Python."""
    parts = [record, *libraries(record, records)]
    words = [*(part.digest for part in parts), version, platform.python_version()]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def libraries(record: Record, records: Mapping[str, Record]) -> list[Record]:
    """Return the distributions of the depot that it needs, directly or not, by name."""
    found: dict[str, Record] = {}
    waiting = [record]
    while waiting:
        for line in waiting.pop().requires:
            name = _NAME.match(line)
            needed = records.get(normal(name[0])) if name else None
            if needed is not None and needed.name not in found and needed.name != record.name:
                found[needed.name] = needed
                waiting.append(needed)
    return [found[name] for name in sorted(found)]


def quarantine(terms: Terms, record: Record, stage: Stage, reason: str, trace: str = "") -> Record:
    """Keep a plugin from being loaded until the operator lets it in again, and say so."""
    _log.error(
        "plugin %s is quarantined: %s (mnedge plugin show %s)", record.label, reason, record.name
    )
    told = Quarantine(
        reason=reason, stage=stage, at=terms.now(), program=terms.version, trace=trace[-4000:]
    )
    return _changed(terms, record, quarantine=told, verdict=None, strikes=0)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put back what belongs to the process and what an import may change; stdout stays ours."""
    path, folder = list(sys.path), _folder()
    mask = os.umask(0o077)
    os.umask(mask)
    is_main = threading.current_thread() is threading.main_thread()
    signals = {number: signal.getsignal(number) for number in _SIGNALS} if is_main else {}
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.path[:] = path
        os.umask(mask)
        if folder is not None:
            with suppress(OSError):
                os.chdir(folder)
        for number, action in signals.items():
            if action is not None and signal.getsignal(number) is not action:
                signal.signal(number, action)


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


def _is_due(record: Record, terms: Terms) -> bool:
    """Tell whether it has to be looked at: it is on, or another program quarantined it."""
    state = record.state(terms.configured)
    if state == "quarantined" and record.quarantine is not None:
        is_on = record.allowed or record.name in map(normal, terms.configured)
        other = record.quarantine.program != terms.version
        return is_on and other and record.quarantine.stage in RETRIED
    return state == "on"


def _is_proven(record: Record, records: Mapping[str, Record], terms: Terms) -> bool:
    return (
        record.state(terms.configured) == "on"
        and record.verdict is not None
        and record.verdict.key == key_of(record, records, terms.version)
    )


def _proven(record: Record, records: dict[str, Record], terms: Terms) -> Record:
    for part in [record, *libraries(record, records)]:
        records[part.name], wrong = _compared(part, terms)
        if wrong:
            more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            said = f"files are not those that were installed: {', '.join(wrong[:3])}{more}"
            return quarantine(terms, records[record.name], "altered", said)
    record = records[record.name]
    key = key_of(record, records, terms.version)
    if record.quarantine is None and record.verdict is not None and record.verdict.key == key:
        return record
    if found := misfits(record, records, terms):
        return quarantine(terms, record, "probe", "; ".join(one.message for one in found))
    try:
        report = probed(record, records, terms.depot, terms.probing)
    except OSError as error:
        _log.error("plugin %s cannot be probed, and is not loaded: %s", record.label, error)
        return record
    if report.trouble is not None:
        said_by = report.trouble
        return quarantine(terms, record, said_by.stage, said_by.message, said_by.trace)
    if record.quarantine is not None:
        _log.info("plugin %s is good with this mnedge, and let in again", record.label)
    verdict = Verdict(key=key, brings=report.brings, took_s=report.took_s, at=terms.now())
    return _changed(terms, record, verdict=verdict, quarantine=None)


def _compared(part: Record, terms: Terms) -> tuple[Record, list[str]]:
    """Return what is wrong with the files; contents are read if sizes or times are others."""
    place = terms.depot.place(part)
    now = seen(place, list(part.files))
    if now and now == part.seen:
        return part, []
    wrong = altered(place, part.files)
    return (part, wrong) if wrong else (_changed(terms, part, seen=now), [])


def _judged(terms: Terms, record: Record, blame: suspicion.Blame) -> Record:
    """Quarantine whom an earlier process blames; without proof, at the second time."""
    if blame.is_certain or record.strikes >= MOST_STRIKES:
        return quarantine(terms, record, blame.stage, blame.reason, blame.trace)
    _log.warning("plugin %s: %s; it is tried once more", record.label, blame.reason)
    return _changed(terms, record, strikes=record.strikes + 1)


def _changed(terms: Terms, record: Record, **changes: object) -> Record:
    """Change a record, on the disk if that takes it."""
    try:
        there = terms.depot.change(record.name, **changes)
    except (OSError, MnedgeError) as error:
        _log.warning("what is known of plugin %s cannot be kept: %s", record.label, error)
        there = None
    return there or msgspec.structs.replace(record, **changes)
