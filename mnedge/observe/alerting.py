"""Looks at goals and alerts now and then, and has told what changed. Sleeps if there are none."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import msgspec
import trio
from msgspec import Struct

from mnedge.config.settings import Alert as AlertSetting
from mnedge.config.settings import Trace
from mnedge.errors import MnedgeError, NotFoundError, UnavailableError, UsageError
from mnedge.model.ids import derived_id
from mnedge.observe import expressions, slo
from mnedge.observe.alerts import Active, Alert, Alerts, Change
from mnedge.observe.channels import SkillChannels
from mnedge.observe.expressions import Expression, History
from mnedge.observe.goals import DAY_S, counted_so_far, shown_goal, span_text
from mnedge.observe.metrics import Registry
from mnedge.observe.outbox import Letter, Outbox, Tell
from mnedge.observe.slo import Buckets, Counts, Goal, Judge, Verdict
from mnedge.part import Part
from mnedge.ports import Clock, Delivery, Table

ALERT_ROWS = "alert/"
SILENCE_ROWS = "silence/"
BUCKET_ROWS = "slo/"
KEEP_DAYS = 36
TEST_S = 30.0

_HISTOGRAM = ("_bucket", "_sum", "_count")


class AlertUnknownError(NotFoundError):
    """Neither an alert nor a goal has this name."""

    code = "alert.not_found"


class Silence(Struct, frozen=True, kw_only=True):
    """An alert that is not told for a while. Row `silence/<alert>`."""

    alert: str
    until: float
    by: str = ""
    reason: str = ""


class _Day(Struct, frozen=True):
    """The coarse buckets of a goal on one day. Row `slo/<goal>/<day>`."""

    width_s: float
    counts: dict[int, tuple[float, float]]


class _Rules:
    """What is configured, understood."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.goals: list[Goal] = []
        self.alerts: list[tuple[AlertSetting, Expression]] = []
        self.problems: list[str] = []
        for setting in trace.slos:
            try:
                self.goals.append(slo.goal_of(setting))
            except MnedgeError as error:
                self.problems.append(f"{error.message}; {error.hint}")
        for alert in trace.alerts:
            try:
                self.alerts.append((alert, expressions.parsed(alert.expr)))
            except MnedgeError as error:
                self.problems.append(
                    f"alert {alert.name} is evaluated by Prometheus only: {error.message}"
                )

    @property
    def nothing(self) -> bool:
        return not self.goals and not self.alerts

    def history(self) -> History:
        names = {name for _, expression in self.alerts for name in expression.metrics}
        return History(names, max((e.range_s for _, e in self.alerts), default=0.0))


class Alerting(Part):
    """Goals, alerts, silences, and what is sent about them."""

    grace_s = 2.0

    def __init__(
        self,
        settings: Callable[[], Trace],
        registry: Registry,
        table: Table,
        channels: SkillChannels,
        *,
        now: Clock,
        node: str,
        tell: Tell,
        probe: Callable[[], bool] | None = None,
    ) -> None:
        self._settings = settings
        self.registry = registry
        self._table = table
        self._channels = channels
        self._now = now
        self._node = node
        self._tell = tell
        self._probe = probe
        self._rules = _Rules(Trace())
        self._history = self._rules.history()
        self._judges: dict[str, Judge] = {}
        self._counted: dict[str, Counts] = {}
        self._verdicts: dict[str, Verdict] = {}
        self._silences: dict[str, Silence] = {}
        self._alerts = Alerts()
        self._changed = trio.Event()
        self._stopped = trio.Event()
        sent = registry.counter(
            "mnedge_alert_deliveries_total",
            "Deliveries of alerts, by channel and what became of them.",
            ["channel", "result"],
        )
        self.outbox = Outbox(
            table,
            channels,
            now=now,
            tell=tell,
            counted=lambda channel, how: sent.add(1, channel, how),
        )
        registry.gauge(
            "mnedge_slo_burn_rate", "How fast an error budget is spent; 1 lasts the whole window.",
            ["slo", "window"],
        ).asked(self._burn_rates)  # fmt: skip
        registry.gauge(
            "mnedge_slo_budget_remaining_ratio", "What is left of an error budget.", ["slo"]
        ).asked(lambda: {(name,): v.budget_left for name, v in self._verdicts.items()})
        registry.gauge(
            "mnedge_alert_firing", "1 for each alert that fires.", ["alert", "severity"]
        ).asked(lambda: {(a.name, a.severity): 1.0 for a in self._alerts.firing()})

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Evaluate until cancelled; with nothing configured, only what still has to be sent."""
        await self._insist(self._load_silences)
        async with trio.open_nursery() as nursery:
            await nursery.start(self.outbox.run)
            task_status.started()
            while not self._stopped.is_set():
                if self._settings() is not self._rules.trace:
                    await self._insist(self._learn)
                self._changed = trio.Event()
                if self._rules.nothing and not self._alerts.known:
                    await self._changed.wait()
                    continue
                await self.tick()
                with trio.move_on_after(self._rules.trace.evaluate_every):
                    await self._changed.wait()
            with suppress(UnavailableError):
                await self._keep_buckets(all_of_them=True)
            nursery.cancel_scope.cancel()

    def stop(self) -> None:
        """Keep what is counted, and end."""
        self._stopped.set()
        self._changed.set()

    def reload(self) -> None:
        """Look at the configuration again, now."""
        self._changed.set()

    async def tick(self) -> None:
        """Look at everything once."""
        now = self._now()
        self._count(now)
        samples = self.registry.samples(self._families()) if self._history.names else ()
        self._history.take(now, samples)
        self._verdicts = {name: judge.verdict(now) for name, judge in self._judges.items()}
        active = [*self._burning(), *self._holding(now)]
        until = {silence.alert: silence.until for silence in self._silences.values()}
        for change in self._alerts.update(now, active, until):
            await self._insist(lambda change=change: self._publish(change))  # type: ignore[misc]
        with suppress(UnavailableError):
            await self._keep_buckets()

    # ---- what people ask ----

    def problems(self) -> list[str]:
        """Return what is wrong with goals, alerts and channels, one sentence each."""
        rules = _Rules(self._settings())
        known = {channel.name for channel in rules.trace.notify}
        unknown = [
            f"alert {alert.name}: there is no channel {name!r} in trace.notify"
            for alert in rules.trace.alerts
            for name in alert.notify
            if name not in known
        ]
        return [*rules.problems, *unknown, *self._channels.problems()]

    def goals(self) -> list[dict[str, Any]]:
        """Return every goal as it is now."""
        return [shown_goal(judge.goal, self._verdicts.get(name)) for name, judge in
                self._judges.items()]  # fmt: skip

    def alerts(self) -> dict[str, Any]:
        """Return what is pending, firing and silenced, and what could not be sent."""
        now = self._now()
        names = dict.fromkeys(
            [*self._judges, *(alert.name for alert, _ in self._rules.alerts)]
            + [alert.name for alert in self._alerts.known.values()]
        )
        return {
            "data": [self._shown_alert(name, now) for name in names],
            "undelivered": [
                {
                    "channel": letter.channel,
                    "title": letter.delivery.title,
                    "tries": letter.tries,
                    "next_at": letter.next_at or None,
                    "error": letter.last_error or None,
                }
                for letter in self.outbox.waiting
            ],
            "problems": self.problems(),
        }

    async def silence(
        self, name: str, duration_s: float, *, by: str = "", reason: str = ""
    ) -> Silence | None:
        """Tell nothing of an alert for so long; 0 ends the silence.

        Raises: AlertUnknownError; UsageError if the duration is negative; UnavailableError.
        """
        self._named(name)
        if not 0 <= duration_s <= 366 * DAY_S:
            raise UsageError("a silence lasts between 0 seconds and a year")
        key = f"{SILENCE_ROWS}{name}"
        if not duration_s:
            await self._table.delete(key)
            self._silences.pop(name, None)
            self._changed.set()
            return None
        silence = Silence(alert=name, until=self._now() + duration_s, by=by, reason=reason)
        await self._table.put(key, msgspec.json.encode(silence))
        self._silences[name] = silence
        return silence

    async def test(self, name: str, *, by: str = "") -> list[dict[str, Any]]:
        """Send a trial through the channels of an alert, now; return what became of each.

        Raises: AlertUnknownError.
        """
        wanted, severity = self._named(name)
        at = self._now()
        results: list[dict[str, Any]] = []
        for channel in self._channels.names(wanted):
            delivery = Delivery(
                delivery_id="tst_" + derived_id(f"{name}:{channel}:{at}", size_bytes=15),
                kind="test",
                title=f"Test of alert {name} on {self._node}",
                at=at,
                body={"status": "test", "alert": name, "severity": severity, "node": self._node,
                      "by": by},
            )  # fmt: skip
            error = ""
            try:
                with trio.fail_after(TEST_S):
                    await self._channels.send(channel, delivery)
            except MnedgeError as raised:
                error = raised.message
            except trio.TooSlowError:
                error = "it took too long"
            results.append({"channel": channel, "sent": not error, "error": error or None})
        return results

    def _named(self, name: str) -> tuple[tuple[str, ...], str]:
        """Return the channels and the severity of an alert or goal."""
        for alert in self._settings().alerts:
            if alert.name == name:
                return alert.notify, alert.severity
        if any(goal.name == name for goal in self._settings().slos):
            return (), "page"
        known = [alert.name for alert in self._settings().alerts]
        known += [goal.name for goal in self._settings().slos]
        raise AlertUnknownError(
            f"no alert or goal is called {name!r}",
            hint=f"there is {', '.join(known)}" if known else "none is configured",
        )

    # ---- looking ----

    def _families(self) -> set[str]:
        """Return the metrics whose samples are looked at."""
        names = set(self._history.names)
        for name in self._history.names:
            names |= {name.removesuffix(ending) for ending in _HISTOGRAM}
        return names

    def _count(self, now: float) -> None:
        for name, judge in self._judges.items():
            counted = counted_so_far(judge.goal, self.registry)
            before = self._counted.get(name, Counts())
            self._counted[name] = counted
            new = Counts(max(counted.good - before.good, 0), max(counted.bad - before.bad, 0))
            judge.buckets.add(now, new)
            if judge.goal.sli == "availability" and not new.total and self._probe is not None:
                able = self._probe()
                judge.buckets.add(now, Counts(able, not able), keep=not able)

    def _burning(self) -> Iterable[Active]:
        for name, verdict in self._verdicts.items():
            severities = verdict.severities()
            for severity in sorted(severities):
                worst = max(
                    (pair for pair in verdict.pairs if pair.fires
                     and pair.pair.severity == severity),
                    key=lambda pair: pair.long_rate,
                )  # fmt: skip
                yield Active(
                    name=name,
                    labels={"slo": name, "severity": severity},
                    severity=severity,
                    value=worst.long_rate,
                    summary=f"{name} spends its error budget {worst.long_rate:.1f} times too fast",
                    quiet=severity == "ticket" and "page" in severities,
                )

    def _holding(self, now: float) -> Iterable[Active]:
        for alert, expression in self._rules.alerts:
            for labels, value in expressions.evaluated(expression, self._history, now).items():
                yield Active(
                    name=alert.name,
                    labels={**dict(labels), **alert.labels},
                    severity=alert.severity,
                    for_s=alert.for_,
                    value=value,
                    summary=f"{alert.expr} (now {value:g})",
                    notify=alert.notify,
                )

    # ---- telling ----

    async def _publish(self, change: Change) -> None:
        alert = change.alert
        title = f"{change.event.upper()}: {alert.name} on {self._node}"
        letters = [
            Letter(
                channel=channel,
                delivery=Delivery(
                    delivery_id=change.delivery_id(channel),
                    kind="alert",
                    title=title,
                    at=change.at,
                    body=change.body(self._node),
                ),
            )
            for channel in self._channels.names(alert.notify)
        ]
        row = f"{ALERT_ROWS}{alert.key}"
        if change.event == "firing":
            await self.outbox.put(letters, {row: msgspec.json.encode(alert)})
        else:
            await self.outbox.put(letters)
            await self._table.delete(row)
        self._tell(
            "warning" if change.event == "firing" else "info",
            f"alert {alert.name} {change.event}",
            {"event": f"alert.{change.event}", "alert": alert.name, "severity": alert.severity,
             "labels": alert.labels, "value": alert.value, "channels": len(letters)},
        )  # fmt: skip

    # ---- what is kept ----

    async def _insist(self, act: Callable[[], Any]) -> None:
        while True:
            try:
                await act()
                return
            except UnavailableError:
                await trio.sleep(1.0)  # the disk is full or failing; it recovers by itself

    async def _load_silences(self) -> None:
        now = self._now()
        for row in await self._table.scan(SILENCE_ROWS):
            with suppress(msgspec.MsgspecError):
                silence = msgspec.json.decode(row.value, type=Silence)
                if silence.until > now:
                    self._silences[silence.alert] = silence
                    continue
            await self._table.delete(row.key, sync=False)

    async def _learn(self) -> None:
        """Understand the configuration, and take up what was before a restart."""
        trace = self._settings()
        rules = _Rules(trace)
        for problem in rules.problems:
            self._tell("warning", problem, {})
        now = self._now()
        judges: dict[str, Judge] = {}
        for goal in rules.goals:
            known = self._judges.get(goal.name)
            if known is not None and known.buckets.bucket_s == trace.evaluate_every:
                judges[goal.name] = Judge(goal, known.buckets)
            else:
                buckets = Buckets(trace.evaluate_every)
                buckets.load(await self._kept(goal.name, buckets.coarse_s, now), now)
                judges[goal.name] = Judge(goal, buckets)
        first = self._rules.trace == Trace() and not self._alerts.known
        self._rules, self._judges = rules, judges
        self._history = rules.history()
        self._verdicts = {}
        if first:
            await self._resume(now)

    async def _resume(self, now: float) -> None:
        ranges = {alert.name: expression.range_s for alert, expression in self._rules.alerts}
        for row in await self._table.scan(ALERT_ROWS):
            try:
                alert = msgspec.json.decode(row.value, type=Alert)
            except msgspec.MsgspecError:
                await self._table.delete(row.key, sync=False)
                continue
            hold_s = ranges.get(alert.name, 0.0) + 2 * self._rules.trace.evaluate_every
            known = alert.name in ranges
            self._alerts.resume(alert, hold_until=now + hold_s if known else now)
            judge = self._judges.get(alert.name)
            if judge is not None:
                judge.resume({alert.severity})

    async def _kept(self, name: str, width_s: float, now: float) -> dict[int, tuple[float, float]]:
        kept: dict[int, tuple[float, float]] = {}
        prefix = f"{BUCKET_ROWS}{name}/"
        for row in await self._table.scan(prefix):
            day = row.key.removeprefix(prefix)
            if not day.isdecimal() or int(day) < now // DAY_S - KEEP_DAYS:
                await self._table.delete(row.key, sync=False)
                continue
            with suppress(msgspec.MsgspecError):
                found = msgspec.json.decode(row.value, type=_Day)
                if found.width_s == width_s:
                    kept.update(found.counts)
        return kept

    async def _keep_buckets(self, *, all_of_them: bool = False) -> None:
        now = self._now()
        for name, judge in self._judges.items():
            buckets = judge.buckets
            current = int(now // buckets.coarse_s)
            closed = {b for b in buckets.unsaved if all_of_them or b < current}
            for day in sorted({int(b * buckets.coarse_s // DAY_S) for b in closed}):
                first = int(-(-day * DAY_S // buckets.coarse_s))
                last = int(-(-(day + 1) * DAY_S // buckets.coarse_s))
                counts = {
                    b: (found.good, found.bad)
                    for b in range(first, min(last, current + 1))
                    if (found := buckets.coarse(b)).total
                }
                await self._table.put(
                    f"{BUCKET_ROWS}{name}/{day}",
                    msgspec.json.encode(_Day(buckets.coarse_s, counts)),
                    sync=False,
                )
            buckets.unsaved -= closed

    # ---- showing ----

    def _burn_rates(self) -> Mapping[tuple[str, ...], float]:
        rates: dict[tuple[str, ...], float] = {}
        for name, verdict in self._verdicts.items():
            for burning in verdict.pairs:
                rates[(name, span_text(burning.pair.long_s))] = burning.long_rate
                rates[(name, span_text(burning.pair.short_s))] = burning.short_rate
        return rates

    def _shown_alert(self, name: str, now: float) -> dict[str, Any]:
        instances = [alert for alert in self._alerts.known.values() if alert.name == name]
        silence = self._silences.get(name)
        settings = {alert.name: alert for alert, _ in self._rules.alerts}
        states = {alert.state for alert in instances}
        return {
            "name": name,
            "kind": "alert" if name in settings else "slo",
            "expr": settings[name].expr if name in settings else None,
            "state": "firing" if "firing" in states else "pending" if states else "quiet",
            "severity": settings[name].severity if name in settings else None,
            "silenced_until": silence.until if silence and silence.until > now else None,
            "instances": [msgspec.to_builtins(alert) for alert in instances],
        }
