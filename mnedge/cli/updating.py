"""What `mnedge update` does, for people and for programs."""

import os
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct

import mnedge
from mnedge import shipped
from mnedge.cli.one_file import Hints, called_file
from mnedge.cli.screen import Screen
from mnedge.cli.show import BAD, Cell, columns, moment
from mnedge.cli.update_words import (
    offer_told,
    outcome_told,
    phase_told,
    steps_of_file,
    steps_of_node,
)
from mnedge.cli.verbs import Asked
from mnedge.config.layout import ENVIRON, Layout
from mnedge.config.read import Flags, load_config
from mnedge.config.settings import Config
from mnedge.daemon.clock import wall_clock
from mnedge.durable import sha256_of, write_whole
from mnedge.errors import NotAllowedError, UsageError
from mnedge.updates import trial as trials
from mnedge.updates.alone import NothingBeforeError, old_of, replaced, returned
from mnedge.updates.finish import finish
from mnedge.updates.keys import pinned
from mnedge.updates.machine import ThisMachine
from mnedge.updates.offer import SchemaBehindError, needed_bytes, require_room, this_build
from mnedge.updates.prepare import (
    Node,
    Offer,
    UnderWayError,
    begun,
    free_bytes,
    locked,
    offered,
    party_of,
    placed,
)
from mnedge.updates.releases import led_to, program_of
from mnedge.updates.source import is_url, require_as_signed
from mnedge.updates.trial import ASKED_BACK, Outcome, Trial

PACKAGES = Path("/var/lib/dpkg/info/mnedge.list")
HINTS = Hints(
    nix="update the flake input, and rebuild the system",
    source="update the source (git pull, make setup); `mnedge update` replaces the one file",
    folder="unpack the new release's folder beside it",
)
IDLE_LOOKS = 50
"""So often nobody may be seen to carry a trial before we do it ourselves."""


class NotUpdatableError(UsageError):
    """The file is a package's, whose manager replaces it."""

    code = "update.not_updatable"


class NotRootError(NotAllowedError):
    """An installed node is changed by root alone."""

    code = "update.not_root"


class Wanted(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    source: str | None = None
    check: bool = False
    dry_run: bool = False
    rollback: bool = False
    status: bool = False
    allow_downgrade: bool = False
    finish: bool = False
    describe: bool = False


def updated(asked: Asked, wanted: Wanted, layout: Layout | None = None) -> int:
    """Do what is wanted; return the exit code."""
    layout = layout or Layout()
    screen = Screen(asked)
    if wanted.describe:
        screen.stream.write(msgspec.json.encode(this_build()).decode() + "\n")
        return 0
    _one_wish(wanted)
    work = _Updating(screen, wanted, layout)
    if wanted.status:
        return work.status()
    if wanted.finish:
        return work.finish()
    file = called_file(HINTS).resolve()
    if work.is_installed:
        if not _is_current(file, layout):
            # The program that is installed knows what its data are like, and is there afterwards.
            os.execv(layout.current / "mnedge", ["mnedge", *sys.argv[1:]])  # noqa: S606
        return work.node(file)
    return work.alone(file)


class _Updating:
    def __init__(self, screen: Screen, wanted: Wanted, layout: Layout) -> None:
        self._screen = screen
        self._wanted = wanted
        self._layout = layout
        self.is_installed = (layout.current / "mnedge").exists()

    @cached_property
    def _config(self) -> Config:
        """The node's settings; what is on trial is carried on without them."""
        return self._read()

    @cached_property
    def _machine(self) -> ThisMachine:
        as_whom = None
        if self.is_installed:
            as_whom = Path(trial.data_dir) if (trial := self._trial()) else self._config.data_dir
        return ThisMachine(self._layout, now=wall_clock(), data_dir=as_whom)

    def _trial(self) -> Trial | None:
        return trials.read_trial(self._layout)

    def node(self, file: Path) -> int:
        """Update the node of this machine."""
        changes = not (self._wanted.check or self._wanted.dry_run)
        if changes and os.geteuid() != 0:
            raise NotRootError(
                "an installed node is updated by root",
                hint="run it again with sudo; --check and --dry-run change nothing",
            )
        if not self._wanted.rollback:
            offer = self._offered(file)
            if not changes or offer.standing == "same":
                return self._tell_offer(offer, self._layout.home)
        with locked(self._layout.home):
            self._require_no_trial()
            trial = self._back() if self._wanted.rollback else self._forth(offer)
        return self._carried(trial)

    def alone(self, file: Path) -> int:
        """Update the one file that was called."""
        if self._wanted.rollback:
            returned(file)
            self._screen.good(f"{file} is again what it was; what it was now is {old_of(file)}")
            return self._document({"result": "rolled_back", "file": str(file)})
        _not_packaged(file)
        offer = self._offered(file)
        if self._wanted.check or self._wanted.dry_run or offer.standing == "same":
            return self._tell_offer(offer, file.parent)
        folder = shipped.folder()
        # RUNTIME/KEY/mnedge/_internal
        runtime = folder.parents[2] if folder is not None else None
        replaced(file, offer, self._machine, self._step, runtime)
        self._screen.good(f"{file} is mnedge {offer.release.version}; before: {old_of(file)}")
        self._screen.hint("a daemon that runs from it goes on as it is until it is restarted")
        return self._document(
            {"result": "confirmed", "file": str(file), "to_version": offer.release.version}
        )

    def finish(self) -> int:
        """Carry the trial that is written down to its end, as a service."""
        if self._trial() is None:
            return 0
        with locked(self._layout.home):
            outcome = finish(self._layout, self._machine, self._step)
        if outcome is not None:
            self._screen.say(outcome_told(outcome))
        return 0

    def status(self) -> int:
        """Say what runs, what was before it, what is on trial and how the last one ended."""
        layout = self._layout
        trial, last = self._trial(), trials.last_outcome(layout)
        current, previous = led_to(layout.current), led_to(layout.previous)
        if not self._screen.asked.human:
            return self._document(
                {
                    "version": mnedge.__version__,
                    "installed": self.is_installed,
                    "current": current,
                    "previous": previous if previous != current else "",
                    "trial": trial,
                    "last": last,
                }
            )
        rows = [["current", current or f"mnedge {mnedge.__version__}, not installed"]]
        if previous and previous != current:
            rows.append(["previous", previous])
        if trial is not None:
            rows.append(
                ["on trial", f"{trial.new.release} ({trial.phase}), after {trial.old.release}"]
            )
        if last is not None:
            rows.append(["last update", f"{moment(last.at)}  {outcome_told(last)}"])
        self._screen.say(*columns([[Cell(word) for word in row] for row in rows]))
        return 0

    # What is offered.

    def _offered(self, file: Path) -> Offer:
        source = self._wanted.source or ""
        if not is_url(source):
            source = str(Path(source).absolute())
        offer = offered(
            source,
            pinned(self._config.updates.keys),
            this_build(),
            sha256_of(file),
            allow_downgrade=self._wanted.allow_downgrade,
            machine=self._machine,
        )
        for warning in offer.warnings:
            self._screen.note(warning)
        return offer

    def _tell_offer(self, offer: Offer, where: Path) -> int:
        """Say what a release is, and what would be done with it."""
        release = offer.release
        if not is_url(offer.where):
            require_as_signed(Path(offer.where), release, offer.where)
        self._screen.good(offer_told(offer))
        if self._wanted.dry_run and offer.standing != "same":
            require_room(release.size, free_bytes(where), str(where))
            steps = (
                steps_of_node(offer, self._layout, self._config.updates)
                if self.is_installed
                else steps_of_file(offer, called_file(HINTS).resolve())
            )
            self._screen.say(*(f"  {number}  {step}" for number, step in enumerate(steps, 1)))
            self._screen.note("none of it done: --dry-run")
        return self._document(
            {
                "result": offer.standing,
                "version": release.version,
                "running": mnedge.__version__,
                "release": release,
                "needed_bytes": needed_bytes(release.size),
                "warnings": offer.warnings,
            }
        )

    # What is done.

    def _forth(self, offer: Offer) -> Trial:
        have, layout = this_build(), self._layout
        old = led_to(layout.current)
        new = placed(layout, self._machine, offer, self._step)
        return begun(
            layout, self._machine, self._node(), party_of(old, have, program_of(layout, old)), new
        )

    def _back(self) -> Trial:
        """Begin the way back to the release before this one: an update like any other."""
        have, layout = this_build(), self._layout
        current, previous = led_to(layout.current), led_to(layout.previous)
        program = program_of(layout, previous)
        if previous in ("", current) or not program.is_file():
            raise NothingBeforeError(
                "there is no release before this one", hint="mnedge update FILE --allow-downgrade"
            )
        build = self._machine.described(program)
        if build.schema < have.schema:
            raise SchemaBehindError(
                f"{build.version} reads data up to schema {build.schema}, and the data here have "
                f"schema {have.schema}",
                hint="restore a backup that the older version made",
            )
        return begun(
            layout,
            self._machine,
            self._node(),
            party_of(current, have, program_of(layout, current)),
            party_of(previous, build, program),
        )

    def _carried(self, trial: Trial) -> int:
        """Have the trial carried to its end by the service manager, or else by us."""
        outcome = self._watched() if self._machine.hand_over() else None
        if outcome is None:
            with locked(self._layout.home):
                outcome = finish(self._layout, self._machine, self._step)
        outcome = outcome or trials.last_outcome(self._layout)
        if outcome is None or outcome.token != trial.token:
            raise UnderWayError("the update goes on elsewhere", hint="mnedge update --status")
        return self._tell(outcome)

    def _watched(self) -> Outcome | None:
        """Follow what the service manager carries; None if it does not."""
        phase, idle = "", 0
        try:
            while (now := self._trial()) is not None:
                if now.phase != phase:
                    phase = now.phase
                    self._step(phase_told(now))
                idle = 0 if self._machine.carries() else idle + 1
                if idle > IDLE_LOOKS:
                    return None
                self._machine.wait()
        except KeyboardInterrupt:
            click.echo("\nit goes on by itself: mnedge update --status", err=True)
            raise
        return trials.last_outcome(self._layout)

    def _require_no_trial(self) -> None:
        """End what was cut short; refuse what somebody carries."""
        trial = self._trial()
        if trial is None:
            return
        if self._machine.systemd and self._machine.carries():
            if self._wanted.rollback:
                write_whole(self._layout.home / ASKED_BACK, b"")
                raise UnderWayError(
                    f"{trial.new.version} is on trial; it was asked to go back",
                    hint="mnedge update --status",
                )
            raise UnderWayError(
                f"an update to {trial.new.version} is under way", hint="mnedge update --status"
            )
        self._screen.note("an update was cut short; it is brought to its end first")
        if (outcome := finish(self._layout, self._machine, self._step)) is not None:
            self._screen.note(outcome_told(outcome))
        if led_to(self._layout.current) != trial.old.release:
            raise UnderWayError(
                f"{trial.new.version} runs now", hint="run the same command again if it is wanted"
            )

    # What is said.

    def _step(self, text: str) -> None:
        self._screen.say(f"  {text}")
        self._screen.flush()

    def _tell(self, outcome: Outcome) -> int:
        if self._screen.asked.human:
            if outcome.good:
                self._screen.good(outcome_told(outcome))
                self._screen.hint("back again           mnedge update --rollback")
            else:
                self._screen.mark(BAD, "bold red", outcome_told(outcome))
                self._screen.hint("what they wrote      journalctl --namespace=mnedge -e")
        self._document(outcome)
        return 0 if outcome.good else 1

    def _document(self, value: Any) -> int:
        if not self._screen.asked.human:
            self._screen.document(msgspec.to_builtins(value))
        return 0

    # Where things are.

    def _node(self) -> Node:
        return Node(
            data_dir=str(self._config.data_dir),
            socket=str(self._config.socket),
            health_timeout_s=self._config.updates.health_timeout,
            settle_s=self._config.updates.settle,
        )

    def _read(self) -> Config:
        file = self._layout.config_file
        try:
            if self.is_installed and file.exists():
                return load_config(ENVIRON, Flags(file=str(file))).config
        except PermissionError:
            # Who is not root may check what the keys of this program have signed.
            self._screen.note(
                f"{file} is for root and for members of its group; its updates.keys do not count"
            )
        if self.is_installed:
            return load_config(ENVIRON | {"MNEDGE_DATA_DIR": str(self._layout.data_dir)}).config
        data_dir = self._screen.asked.data_dir
        return load_config(os.environ, Flags(data_dir=data_dir)).config


def _one_wish(wanted: Wanted) -> None:
    """Refuse what says too little or too much."""
    alone = [name for name in ("rollback", "status", "finish") if getattr(wanted, name)]
    if len(alone) > 1 or (alone and (wanted.source or wanted.check or wanted.dry_run)):
        raise click.UsageError(f"--{alone[0]} stands alone")
    if not alone and not wanted.source:
        raise click.UsageError(
            "which release? mnedge update FILE|URL (its NAME.release.json lies beside it)"
        )


def _is_current(file: Path, layout: Layout) -> bool:
    return file == (layout.current / "mnedge").resolve()


def _not_packaged(file: Path) -> None:
    try:
        owned = str(file) in PACKAGES.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    if owned:
        raise NotUpdatableError(
            f"{file} belongs to the Debian package mnedge", hint="apt install ./mnedge_VERSION.deb"
        )
