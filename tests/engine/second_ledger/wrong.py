"""Second ledgers with one rule wrong each: a comparison that cannot tell them is worth nothing."""

from typing import Any

from tests.engine.second_ledger.ledger import SUCCESSFUL, Ledger, Record


class PartialCounts(Ledger):
    """Takes a partial parent for a success."""

    def is_success(self, edge: Record) -> bool:
        known = edge["from"] in self.steps
        partial = known and self.steps[edge["from"]]["status"] == "partial"
        return partial or super().is_success(edge)


class AcceptsEverything(Ledger):
    """Does not look at what an edge accepts."""

    def is_accepted(self, edge: Record) -> bool:
        return self.is_open(edge) or self.steps[edge["from"]]["status"] in SUCCESSFUL


class HandledIsNoFailure(Ledger):
    """Forgets that an optional step that failed has failed."""

    def is_failure(self, edge: Record) -> bool:
        return not self.is_open(edge) and self.steps[edge["from"]]["status"] == "failed"


class WaitsForMessages(Ledger):
    """Never makes a message for a step that nobody will send one."""

    def message_may_come(self, step: str) -> bool:
        return True


class NeverImpossible(Ledger):
    """Leaves steps pending whose rule cannot hold any more."""

    def impossible(self, step: str) -> bool:
        return False


class JoinsRunTwice(Ledger):
    """Runs a message that comes for a step that is over."""

    def gate(self, agent: str, message: Record) -> None:
        step = message["step"]
        if step in self.steps and self.steps[step]["status"] == "completed":
            self.steps[step]["status"] = "ready"
        super().gate(agent, message)


class LatestMessageOnly(Ledger):
    """Keeps one message for a blocked step."""

    def consider(self, step: str) -> bool:
        self.steps[step]["waiting"] = self.steps[step]["waiting"][-1:]
        return super().consider(step)


class BackoffGrowsTooSoon(Ledger):
    """Multiplies once too often."""

    def delay_ms(self, record: Record) -> int:
        return int(super().delay_ms(record) * record["definition"].retry_backoff_multiplier)


class NoFencing(Ledger):
    """Hears every report, whatever attempt it belongs to."""

    def counts(self, step: str, attempt: str | None) -> bool:
        return step in self.steps


class DeadBeacons(Ledger):
    """A beacon moves nothing."""

    def beat(self, step: str, timeout_ms: float | None) -> None:
        self.say("workflow_step_beacon", step)


class PauseCosts(Ledger):
    """The time of a pause counts against deadlines and retries."""

    def shift(self, record: Record, by_s: float) -> None:
        return


class CrashCosts(Ledger):
    """A launch that a crash cut goes on with the time it had left."""

    def relaunch(self, flight: Record) -> None:
        return


class SkipsTooMuch(Ledger):
    """A branch skips a grandchild as soon as one of its parents is skipped."""

    def cascades_to(self, child: str) -> bool:
        return any(self.steps[edge["from"]]["status"] == "skipped" for edge in self.into(child))


class ScattersToOne(Ledger):
    """Only the first instance is put in the target's place."""

    def unfold(self, made: dict[str, list[str]]) -> None:
        super().unfold({target: names[:1] for target, names in made.items()})


class FirstResultWins(Ledger):
    """Keeps the first of the results that came too soon."""

    def complete_run(self, agent: str, output: Any) -> None:
        super().complete_run(agent, output)
        self.deferred = self.deferred[:1]


class SayingNothing(Ledger):
    """Mixes up an attempt that failed itself with one that did well."""

    def failed_by_event(self, step: str, flight: Record) -> None:
        if step != flight["step"]:
            super().failed_by_event(step, flight)


class ForgetsWhoAsked(Ledger):
    """Does what it has been asked already once more."""

    def asked(self, at: float, verb: str, request_id: str) -> None:
        self.requests = []
        super().asked(at, verb, request_id)


WRONG: tuple[Any, ...] = (
    PartialCounts, AcceptsEverything, HandledIsNoFailure, WaitsForMessages, NeverImpossible,
    JoinsRunTwice, LatestMessageOnly, BackoffGrowsTooSoon, NoFencing, DeadBeacons, PauseCosts,
    CrashCosts, SkipsTooMuch, ScattersToOne, FirstResultWins, SayingNothing, ForgetsWhoAsked,
)  # fmt: skip
