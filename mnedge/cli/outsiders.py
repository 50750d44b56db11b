"""What `mnedge plugin` does, and how it tells it."""

import os
import pwd
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.text import Text

from mnedge.cli.reach import config_of, lives, refuse_named
from mnedge.cli.screen import Screen
from mnedge.cli.show import BAD, NOTE, Cell, columns, counted, fields, moment
from mnedge.cli.verbs import Asked, confirmed
from mnedge.config.settings import Config
from mnedge.daemon.outside import terms_of
from mnedge.daemon.owner import act_as_owner
from mnedge.errors import UsageError
from mnedge.model.amounts import size
from mnedge.plugins import installing
from mnedge.plugins.depot import Record, normal
from mnedge.plugins.installing import Checked, Outcome
from mnedge.plugins.outside import Terms, libraries

STYLES = {"on": "green", "off": "dim", "quarantined": "bold red", "library": "dim"}


class PluginSourceError(UsageError):
    """What is to be installed is neither a file, nor a folder, nor installed already."""

    code = "plugin.no_source"


def install(asked: Asked, sources: Sequence[str], *, allow: bool | None) -> int:
    """Install files and folders, let names in or keep them out."""
    refuse_named(asked, "plugin install")
    screen, config = Screen(asked), config_of(asked)
    terms = terms_of(config)
    paths = [Path(source) for source in sources if _is_path(source)]
    names = [source for source in sources if not _is_path(source)]
    known = {record.name for record in terms.depot.records()}
    for name in names:
        if allow is None or normal(name) not in known:
            raise PluginSourceError(
                f"there is no file or folder {name}",
                hint="a plugin that is installed is let in with --allow"
                if normal(name) in known
                else "give a wheel, or a folder of wheels",
            )
    by = _somebody()
    sources_read = [one for path in paths for one in installing.read(path)]
    terms = _terms_of_owner(config)
    outcomes = installing.install(sources_read, terms, allow=allow, by=by) if paths else []
    outcomes += [installing.permit(name, terms, allow=bool(allow), by=by) for name in names]
    if screen.asked.human:
        for outcome in outcomes:
            _tell_outcome(screen, outcome, config)
        _tell_restart(screen, config, outcomes)
    else:
        screen.records(_outcome(outcome, config) for outcome in outcomes)
    return 1 if any(outcome.record.quarantine for outcome in outcomes) else 0


def list_all(asked: Asked) -> None:
    """List the depot."""
    refuse_named(asked, "plugin list")
    screen, config = Screen(asked), config_of(asked)
    records = terms_of(config).depot.records()
    if not asked.human:
        screen.records(_brief(record, config) for record in records)
        return
    if not records:
        screen.say("no plugin from outside is installed")
        screen.hint("mnedge plugin install WHEEL")
        return
    rows = []
    for record in records:
        state = record.state(config.plugins)
        rows.append(
            [
                Cell(record.name, "bold"),
                Cell(record.version),
                Cell(state, STYLES[state]),
                Cell(_brings(record) if state != "quarantined" else ""),
            ]
        )
    screen.say(*columns(rows))
    for record in records:
        if record.quarantine is not None:
            screen.mark(BAD, "bold red", f"{record.name}: {record.quarantine.reason}")
    if any(record.state(config.plugins) == "off" for record in records):
        screen.hint("mnedge plugin install NAME --allow lets one in")


def show(asked: Asked, name: str) -> None:
    """Show one."""
    refuse_named(asked, "plugin show")
    screen, config = Screen(asked), config_of(asked)
    depot = terms_of(config).depot
    record = depot.find(name)
    needs = libraries(record, {one.name: one for one in depot.records()})
    if not asked.human:
        screen.document(_whole(record, config) | {"libraries": [part.name for part in needs]})
        return
    state = record.state(config.plugins)
    screen.say(Text(record.label, "bold"))
    rows: list[tuple[str, str | Text]] = [("state", Text(state, STYLES[state]))]
    if record.quarantine is not None:
        told = record.quarantine
        rows += [
            ("reason", Text(told.reason, "red")),
            ("found", f"{moment(told.at)}, at stage {told.stage}, by mnedge {told.program}"),
        ]
    if record.allowed:
        rows.append(("let in", f"{moment(record.allowed_at)} by {record.allowed_by}"))
    elif state == "on":
        rows.append(("let in", "by the configuration (plugins)"))
    if record.verdict is not None:
        probed = f"{moment(record.verdict.at)}, took {record.verdict.took_s:.2f} s"
        rows += [("brings", _brings(record)), ("probed", probed)]
    rows += [
        (word, text)
        for word, text in (
            ("summary", record.summary),
            ("author", record.author),
            ("license", record.license),
            ("entry points", ", ".join(f"{p.name} = {p.value}" for p in record.entry_points)),
            ("modules", ", ".join(record.tops)),
            ("made for", ", ".join(record.tags)),
            ("needs", ", ".join(record.requires)),
            ("libraries", ", ".join(part.label for part in needs)),
            ("came with", record.came_with),
            ("installed", f"{moment(record.installed_at)} by {record.installed_by}"),
            ("from", record.source),
            ("files", f"{len(record.files)}, {size(record.size_bytes)}"),
            ("sha256", record.digest),
            ("folder", str(depot.place(record))),
        )
        if text
    ]
    screen.say(*fields(rows))
    if record.quarantine is not None:
        if record.quarantine.trace:
            screen.say("", Text(record.quarantine.trace.rstrip(), "dim"))
        if record.quarantine.stage == "altered":
            screen.hint(f"mnedge plugin install {record.source} makes it whole again")
        else:
            screen.hint(
                f"mnedge plugin install {record.name} --allow lets it in again if it is good"
            )


def remove(asked: Asked, name: str, *, yes: bool) -> None:
    """Remove one."""
    refuse_named(asked, "plugin remove")
    screen, config = Screen(asked), config_of(asked)
    terms = terms_of(config)
    record = terms.depot.find(name)
    if not yes:
        confirmed(f"Remove {record.label}?")
    terms = _terms_of_owner(config)
    done = installing.remove(record.name, terms)
    if not asked.human:
        told = {
            "removed": done.record.name,
            "version": done.record.version,
            "libraries": [part.name for part in done.libraries],
            "in_use": done.in_use,
        }
        screen.document(told)
        return
    too = "".join(f", {part.label}" for part in done.libraries)
    screen.good(f"removed {done.record.label}{too}")
    if done.in_use:
        screen.hint("a node that runs still uses it; its files go when that has ended")
    elif lives(config) and record.state(config.plugins) == "on":
        screen.hint("the daemon goes on with what it loaded, until it is started anew")


def check(asked: Asked, name: str | None) -> int:
    """Check one, or all."""
    refuse_named(asked, "plugin check")
    screen, config = Screen(asked), config_of(asked)
    terms = _terms_of_owner(config) if os.geteuid() == 0 else terms_of(config)
    records = [terms.depot.find(name)] if name else list(terms.depot.records())
    found = [installing.check(record, terms) for record in records]
    if not asked.human:
        screen.records(_checked(one, config) for one in found)
    else:
        for one in found:
            _tell_checked(screen, one, config)
        if not found:
            screen.say("no plugin from outside is installed")
    return 1 if any(one.problems for one in found) else 0


def _is_path(source: str) -> bool:
    return "/" in source or source.endswith(".whl") or os.path.exists(source)


def _terms_of_owner(config: Config) -> Terms:
    """Become the owner of the data, if we are root, before anything is touched there.

    Workers of that user may write in the depot too: root would follow where they lead.
    """
    act_as_owner(config)
    return terms_of(config)


def _somebody() -> str:
    """Return who asks, for the record: behind sudo, the person."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    behind = os.environ.get("SUDO_USER", "")
    return f"{behind} (as {name})" if behind and behind != name else name


def _brings(record: Record) -> str:
    if record.verdict is None:
        return f"for {record.came_with}" if record.came_with else ""
    words = [
        f"{hook}: {', '.join(names)}" for hook, names in record.verdict.brings.items() if names
    ]
    return "; ".join(words) or "nothing on this machine"


def _tell_outcome(screen: Screen, outcome: Outcome, config: Config) -> None:
    record, was = outcome.record, outcome.was
    for note in outcome.notes:
        screen.note(note)
    if record.quarantine is not None:
        screen.mark(BAD, "bold red", f"{record.label} is bad, and quarantined")
        screen.say(f"  {record.quarantine.reason}")
        screen.hint(f"mnedge plugin show {record.name}, or mnedge plugin remove {record.name}")
        return
    state = record.state(config.plugins)
    how = "is installed"
    if was is not None and was.digest == record.digest:
        how = "was installed already"
    elif was is not None:
        how = f"takes the place of {was.version}"
    screen.good(f"{record.label} {how}, and {state}")
    if brings := _brings(record):
        screen.say(f"  {brings}")
    if state == "off":
        screen.hint(f"mnedge plugin install {record.name} --allow lets it in: it may then do")
        screen.hint("whatever mnedge may do")


def _tell_restart(screen: Screen, config: Config, outcomes: Sequence[Outcome]) -> None:
    if any(_is_felt(outcome, config) for outcome in outcomes) and lives(config):
        screen.note("a daemon runs: this counts from its next start")


def _is_felt(outcome: Outcome, config: Config) -> bool:
    """Tell whether the next start differs from the last one."""
    was = outcome.was.state(config.plugins) if outcome.was else "off"
    now = outcome.record.state(config.plugins)
    is_other = outcome.was is None or outcome.was.digest != outcome.record.digest
    return now != was or (now == "on" and is_other)


def _tell_checked(screen: Screen, one: Checked, config: Config) -> None:
    record = one.record
    if not one.problems:
        state = record.state(config.plugins)
        screen.good(f"{record.label} is good ({state})")
        if record.quarantine is not None:
            screen.say(f"  it was quarantined: {record.quarantine.reason}")
            screen.hint(f"mnedge plugin install {record.name} --allow lets it in again")
        return
    screen.mark(BAD, "bold red", f"{record.label}: {counted(len(one.problems), 'problem')}")
    for problem in one.problems:
        screen.mark(f"  {NOTE}", "bold yellow", problem.message)
        if problem.hint:
            screen.hint(f"  {problem.hint}")
    if one.report is not None and one.report.trouble is not None and one.report.trouble.trace:
        screen.say(Text(one.report.trouble.trace.rstrip(), "dim"))


def _brief(record: Record, config: Config) -> dict[str, Any]:
    return {
        "name": record.name,
        "version": record.version,
        "state": record.state(config.plugins),
        "reason": record.quarantine.reason if record.quarantine else None,
        "brings": record.verdict.brings if record.verdict else {},
    }


def _whole(record: Record, config: Config) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(msgspec.structs.asdict(record))
    return told | {"state": record.state(config.plugins)}


def _outcome(outcome: Outcome, config: Config) -> dict[str, Any]:
    return _brief(outcome.record, config) | {
        "replaced": outcome.was.version if outcome.was else None,
        "notes": list(outcome.notes),
        "restart_needed": _is_felt(outcome, config) and lives(config),
    }


def _checked(one: Checked, config: Config) -> dict[str, Any]:
    return _brief(one.record, config) | {
        "good": not one.problems,
        "problems": [*_problems(one)],
        "trace": one.report.trouble.trace if one.report and one.report.trouble else None,
    }


def _problems(one: Checked) -> Iterator[dict[str, str]]:
    for problem in one.problems:
        yield {"message": problem.message, "hint": problem.hint}
