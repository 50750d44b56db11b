"""`blueprint run`: opens the bundle, submits a job, and carries it to its end."""

import os
from pathlib import Path
from typing import NamedTuple

from mnedge.bundle import catalogue
from mnedge.bundle.config import Setting
from mnedge.bundle.load import Bundle, open_bundle, require
from mnedge.cli import live, watch
from mnedge.cli.carry import carry, hurry, shown_of, tell_end
from mnedge.cli.desk import Desk
from mnedge.cli.ending import tilde
from mnedge.cli.options import OptionInvalidError, given
from mnedge.cli.reach import config_of, desk, host_of, lives
from mnedge.cli.screen import Screen
from mnedge.cli.show import counted, fields
from mnedge.cli.verbs import Asked
from mnedge.config.settings import Config
from mnedge.daemon.app import connectors_of, node, runners_of
from mnedge.daemon.clock import wall_clock
from mnedge.daemon.store import DAEMON, opened_store
from mnedge.execution.processes import Processes
from mnedge.model.ids import is_run_id
from mnedge.model.records import JobRecord
from mnedge.runtime import submission

LAST = "last"
"""Means the newest job wherever one is asked for."""


class Wanted(NamedTuple):
    """What `blueprint run` was asked for."""

    name: str | None = None
    folder: str | None = None
    inputs: tuple[str, ...] = ()
    input_json: str | None = None
    settings: tuple[str, ...] = ()
    config_json: str | None = None
    run_id: str | None = None
    detach: bool = False
    quiet: bool = False


async def run_blueprint(asked: Asked, wanted: Wanted) -> int:
    """Submit the blueprint; unless detached, run it here. Return the exit code."""
    screen = Screen(asked)
    if host_of(asked):
        return await _there(screen, wanted)
    config = config_of(asked)
    place = wanted.folder or str(catalogue.find(wanted.name or "", os.environ))
    given_to_daemon = lives(config)
    with opened(Path(place).absolute() if given_to_daemon else place, wanted) as bundle:
        if given_to_daemon:
            return await _given(screen, config, bundle, wanted)
        return await (_detach if wanted.detach else _run)(screen, config, bundle, wanted)


def opened(place: str | Path, wanted: Wanted) -> Bundle:
    """Return the bundle with the options laid over it; whether it may run here is asked later.

    Raises: BundleInvalidError with every problem; OptionInvalidError.
    """
    checked_run_id(wanted.run_id)
    overrides = None if wanted.config_json is None else given("--config-json", wanted.config_json)
    bundle = open_bundle(place, overrides=overrides, settings=settings_of(wanted))
    try:
        return require(bundle)
    except BaseException:
        bundle.close()
        raise


def checked_run_id(run_id: str | None) -> str | None:
    """Return the value of `--run-id`, if it can name a run.

    Raises: OptionInvalidError.
    """
    if run_id is not None and not is_run_id(run_id):
        raise OptionInvalidError(
            f"--run-id {run_id!r} cannot name a run folder",
            hint="use letters, digits, '.', '_', ':' and '-'; begin with a letter or digit",
        )
    if run_id == LAST:
        raise OptionInvalidError(
            f"--run-id {LAST} would hide the newest job, which every verb calls so",
            hint="choose another name",
        )
    return run_id


def settings_of(wanted: Wanted) -> list[Setting]:
    """Return all options that change the config as settings `path=value`, weakest first.

    An input is the payload of the `json` adapter, whatever the config's own adapter is.
    """
    settings: list[Setting] = []
    if wanted.input_json is not None:
        settings.append(("inputs.payload", given("--input-json", wanted.input_json)))
    for text in wanted.inputs:
        if "=" not in text:
            raise OptionInvalidError(
                f"--input {text!r} has no value", hint="write it as --input KEY=VALUE"
            )
        settings.append(f"inputs.payload.{text}")
    if settings:
        settings.append("inputs.adapter=json")
    return [*settings, *wanted.settings]


async def _there(screen: Screen, wanted: Wanted) -> int:
    """Have another node run it: its own blueprint of that name, or files that are sent."""
    from mnedge.cli.sending import by_files, by_name

    async with desk(screen.asked) as there:
        if wanted.folder is None:
            checked_run_id(wanted.run_id)
            overrides = given("--config-json", wanted.config_json) if wanted.config_json else None
            body = by_name(wanted.name or "", overrides, settings_of(wanted), wanted.run_id)
            made, warnings, label = await there.submit(body), 0, wanted.name or ""
        else:
            with opened(wanted.folder, wanted) as bundle:
                made = await there.submit(by_files(bundle, wanted.run_id))
                warnings, label = len(bundle.warnings), bundle.label
        return await _followed(screen, there, made.record, (warnings, label), wanted)


async def _given(screen: Screen, config: Config, bundle: Bundle, wanted: Wanted) -> int:
    """Have the daemon of this machine run it: its owner names the place, anybody else sends it."""
    async with desk(screen.asked) as there:
        if _owns(config.socket):
            place = {"folder": bundle.label, "config": bundle.config, "run_id": wanted.run_id}
            made = await there.submit({name: value for name, value in place.items() if value})
        else:
            from mnedge.cli.sending import by_files

            made = await there.submit(by_files(bundle, wanted.run_id))
        record = made.record
        told = (len(bundle.warnings), bundle.label)
        return await _followed(screen, there, record, told, wanted)


def _owns(socket: Path) -> bool:
    """Tell whether the daemon at this socket runs for the same user, and reads the same files."""
    return socket.stat().st_uid == os.geteuid()


async def _followed(
    screen: Screen, there: Desk, record: JobRecord, warned: tuple[int, str], wanted: Wanted
) -> int:
    """Say what was submitted, and to whom; unless detached, watch it."""
    if wanted.detach and not screen.asked.human:
        screen.document({"job": record, "daemon": there.where})
        return 0
    if screen.asked.human and not (wanted.quiet and not wanted.detach):
        _submitted(screen, record, warned, detached=wanted.detach, where=there.where)
    if wanted.detach:
        return 0
    if screen.asked.human and not wanted.quiet:
        screen.say("")
    look = await there.look(record.job_id)
    shown = watch.shown_of(record, look, from_now=False)
    return await watch.watch(screen, there, shown, quiet=wanted.quiet, cancels=True)


async def _detach(screen: Screen, config: Config, bundle: Bundle, wanted: Wanted) -> int:
    async with opened_store(config) as store:
        record = await submission.submit(
            store,
            config,
            bundle,
            runners=runners_of(config, Processes()),
            connectors=connectors_of(config),
            now=wall_clock,
            job_id=wanted.run_id,
        )
        daemon = await store.claims.holder(DAEMON)
    if not screen.asked.human:
        screen.document({"job": record, "daemon": daemon})
        return 0
    _submitted(screen, record, (len(bundle.warnings), bundle.label), detached=True)
    if daemon is None:
        screen.note("no daemon serves this data directory, so the job waits")
        screen.hint(f"mnedge daemon, or mnedge job recover {record.job_id}")
    return 0


async def _run(screen: Screen, config: Config, bundle: Bundle, wanted: Wanted) -> int:
    async with hurry() as hasten, node(config) as here:
        record = await submission.submit(
            here.store,
            config,
            bundle,
            runners=here.runners,
            connectors=here.connectors,
            now=wall_clock,
            job_id=wanted.run_id,
            own=here.host.reserve,
        )
        shown = await shown_of(here.store, record)
        if screen.asked.human and not wanted.quiet:
            _submitted(screen, record, (len(bundle.warnings), bundle.label))
            screen.say("")
        view = live.view_for(screen, [shown], wall_clock, quiet=wanted.quiet)
        carried = await carry(here, [shown], view, now=wall_clock, cancels=True)
        if carried.hasty:
            hasten()
    return tell_end(screen, carried)


def _submitted(
    screen: Screen,
    record: JobRecord,
    warnings: tuple[int, str],
    *,
    detached: bool = False,
    where: str = "",
) -> None:
    screen.good("Job submitted successfully")
    end = "it goes on until it is cancelled" if detached else "Ctrl-C ends it"
    kind = "" if record.job_type == "batch" else f", a {record.job_type}: {end}"
    count, label = warnings
    warned = f"{counted(count, 'warning')}; mnedge blueprint validate {label}" if count else ""
    screen.say(
        *fields(
            [
                ("job", record.job_id),
                ("blueprint", f"{record.blueprint_id}, {counted(record.agents, 'agent')}{kind}"),
                ("run folder", tilde(record.run_folder)),
                ("runs in", where),
                ("validation", warned),
            ]
        )
    )
