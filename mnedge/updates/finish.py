"""Carries an update from wherever it stands to its end: confirmed, or back to the old program.

Each step is written down before it is done and can be done twice, so it does not matter where the
power goes, or who carries on: at the next start of the machine `mnedge-update.service` does.
"""

import os
from collections.abc import Callable
from contextlib import suppress

import msgspec

from mnedge import faults
from mnedge.config.layout import Layout
from mnedge.durable import switch
from mnedge.errors import MnedgeError
from mnedge.store.trial import TrialMark, clear_mark, read_mark, set_mark
from mnedge.updates import trial as trials
from mnedge.updates.machine import Machine
from mnedge.updates.proof import Expected, Proof, Verdict
from mnedge.updates.releases import led_to, prune, target_of
from mnedge.updates.trial import ASKED_BACK, Outcome, Party, Phase, Result, Trial

GOOD = Verdict(True)
MOST_BOOTS = 1
"""A machine that goes down once on trial may have lost its power; twice is the new program."""

Tell = Callable[[str], None]


def finish(layout: Layout, machine: Machine, tell: Tell = lambda _: None) -> Outcome | None:
    """Bring the update that is under way to its end; return what came of it, None if none is."""
    trial = trials.read_trial(layout)
    if trial is None:
        return None
    return _Finishing(layout, machine, tell, trial).done()


class _Finishing:
    def __init__(self, layout: Layout, machine: Machine, tell: Tell, trial: Trial) -> None:
        self._layout = layout
        self._machine = machine
        self._tell = tell
        self._trial = trial

    def done(self) -> Outcome:
        """Go on from the step that is written down."""
        if self._trial.phase == "ready":
            if self._trial.boot_id != self._machine.boot_id():
                return self._abandon()
            self._mark()
        if self._trial.phase == "trying":
            verdict = self._tried()
            if verdict.good:
                self._write("confirming")
                faults.hit("update.confirming")
            else:
                self._write("returning", why=verdict.why)
                faults.hit("update.returning")
        return self._confirm() if self._trial.phase == "confirming" else self._return()

    def _write(self, phase: Phase, **changed: object) -> None:
        self._trial = msgspec.structs.replace(self._trial, phase=phase, **changed)
        trials.write_trial(self._layout, self._trial)

    def _abandon(self) -> Outcome:
        clear_mark(self._trial.data_dir)
        switch(self._layout.previous, target_of(self._trial.before))
        prune(self._layout, (self._trial.old.release, self._trial.before))
        return self._end("abandoned", "the machine went down before the switch")

    def _mark(self) -> None:
        """Let nothing be written from here on that the old program cannot read."""
        old = self._trial.old
        if os.path.isdir(self._trial.data_dir):
            mark = TrialMark(
                schema=old.schema, engine_revision=old.engine_revision, program=old.version
            )
            set_mark(self._trial.data_dir, mark)
        faults.hit("update.marked")
        self._write("trying")
        faults.hit("update.trying")

    def _tried(self) -> Verdict:
        trial, machine = self._trial, self._machine
        boot_id = machine.boot_id()
        is_new_boot = boot_id != trial.boot_id
        if is_new_boot:
            if trial.boots >= MOST_BOOTS:
                return Verdict(False, "the machine went down again while the new program ran")
            self._write("trying", boot_id=boot_id, boots=trial.boots + 1)
        is_switched = led_to(self._layout.current) == trial.new.release
        if not is_switched:
            switch(self._layout.current, target_of(trial.new.release))
            faults.hit("update.switched")
        if not trial.runs:
            self._tell("the node does not run, so the new program is taken after its self-test")
            return Verdict(True)
        try:
            if is_new_boot and is_switched:
                machine.start()  # it is being started with the machine
            elif not self._is_up(trial.new, trial.old):
                self._tell("the node is restarted; work in flight ends first, or runs again")
                self._restart()
            self._tell(f"mnedge {trial.new.version} proves itself for {trial.settle_s:g} s")
            return self._proven(trial.new, settle_s=trial.settle_s)
        except MnedgeError as error:
            return Verdict(False, error.message)

    def _confirm(self) -> Outcome:
        """Let the new program write as it likes; by itself nothing goes back after that."""
        trial = self._trial
        is_marked = read_mark(trial.data_dir) is not None
        if trial.runs and is_marked and trial.new.schema > trial.old.schema:
            # Whoever opens the data from here on brings them up to date: not while it runs.
            self._tell("the node is restarted once more, and brings its data up to date")
            self._machine.stop(trial.socket)
        clear_mark(trial.data_dir)
        faults.hit("update.released")
        if trial.runs and not self._is_up(trial.new):
            self._machine.start()
        seen = self._seen(trial.new)
        prune(self._layout, (trial.new.release, trial.old.release))
        faults.hit("update.pruned")
        return self._end("confirmed", seen=seen)

    def _return(self) -> Outcome:
        trial, layout = self._trial, self._layout
        self._tell(f"back to mnedge {trial.old.version}: {trial.why}")
        if led_to(layout.current) != trial.old.release:
            switch(layout.current, target_of(trial.old.release))
            faults.hit("update.returned")
        seen = Verdict(True)
        if trial.runs:
            with suppress(MnedgeError):
                if not self._is_up(trial.old, trial.new):
                    self._restart()
            faults.hit("update.revived")
            seen = self._seen(trial.old)
        switch(layout.previous, target_of(trial.before))
        clear_mark(trial.data_dir)
        prune(layout, (trial.old.release, trial.before))
        return self._end("rolled_back", trial.why, seen=seen)

    def _restart(self) -> None:
        try:
            self._machine.stop(self._trial.socket)
            faults.hit("update.stopped")
        finally:  # one that would not be stopped may have ended all the same
            self._machine.start()
        faults.hit("update.started")

    def _is_up(self, party: Party, other: Party | None = None) -> bool:
        """Tell whether the one answers; in doubt whether it is not the other, no."""
        seen = self._machine.seen(self._trial.socket)
        if other is not None and other.version == party.version and not seen.key:
            return False
        return seen.version == party.version and (not party.key or seen.key in ("", party.key))

    def _seen(self, party: Party) -> Verdict:
        """Return whether the node is well, in time."""
        return self._proven(party, settle_s=0.0) if self._trial.runs else Verdict(True)

    def _proven(self, party: Party, *, settle_s: float) -> Verdict:
        statuses = tuple(dict.fromkeys(("ok", self._trial.status_before or "ok")))
        proof = Proof(
            Expected(version=party.version, key=party.key, statuses=statuses),
            timeout_s=self._trial.health_timeout_s,
            settle_s=settle_s,
        )
        asked_back = self._layout.home / ASKED_BACK
        while (verdict := proof.judged(self._machine.seen(self._trial.socket))) is None:
            if self._trial.phase == "trying" and asked_back.exists():
                return Verdict(False, "somebody asked to go back")
            self._machine.wait()
        return verdict

    def _end(self, result: Result, why: str = "", seen: Verdict = GOOD) -> Outcome:
        trial = self._trial
        outcome = Outcome(
            token=trial.token,
            result=result,
            from_version=trial.old.version,
            to_version=trial.new.version,
            from_release=trial.old.release,
            to_release=trial.new.release,
            runs=trial.runs,
            well=seen.good,
            why=why,
            unwell=seen.why,
            at=self._machine.now(),
        )
        trials.tell_outcome(self._layout, outcome)
        faults.hit("update.told")
        trials.end_trial(self._layout)
        return outcome
