"""A run under watch: protocol lines taken out of its stdout, beacons sent, silence punished."""

from collections.abc import Callable

import trio

from mnedge.execution.beacons import Beacons
from mnedge.execution.output import activity, hidden, protocol_line
from mnedge.model.facts import NamedEvent
from mnedge.model.states import OutcomeStatus
from mnedge.ports import Finished, Launch, Runner

KEPT_BYTES = 1 << 16
"""Of the stdout of a worker that is killed for its silence."""


class Watch:
    """Runs a launch once and reacts to what it prints."""

    def __init__(
        self,
        runner: Runner,
        launch: Launch,
        beacons: Beacons,
        *,
        secrets: tuple[str, ...],
        publish: Callable[[NamedEvent], None],
    ) -> None:
        self._runner = runner
        self._launch = launch
        self._beacons = beacons
        self._settings = beacons.settings
        self._secrets = secrets
        self._publish = publish
        self._silence = trio.CancelScope()
        self._said = bytearray()

    async def run(self) -> Finished:
        """Run to the end. Never raises for what the command or the runner does wrong."""
        if not self._settings.enabled:
            return await self._run()
        self._beacons.from_runtime("started")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_beacons)
            finished = await self._run()
            nursery.cancel_scope.cancel()
        self._beacons.from_runtime("completed")
        return finished

    async def _send_beacons(self) -> None:
        while True:
            await trio.sleep(self._settings.interval_s)
            self._beacons.from_runtime("working")

    async def _run(self) -> Finished:
        self._heard()
        with self._silence:
            try:
                return await self._runner.run(self._launch, self._on_line)
            except Exception as error:  # a plugin's mistake is this attempt's failure
                return Finished(
                    status=OutcomeStatus.FAILED,
                    error=f"runner {self._runner.name} broke: {type(error).__name__}: {error}",
                )
        beacon = self._beacons.missed()
        return Finished(
            status=OutcomeStatus.FAILED,
            error="agent beacon deadline exceeded",
            stdout=bytes(self._said),
            extra={
                "timeout_ms": round(self._settings.timeout_s * 1000),
                "beacon": self._beacons.last or beacon,
            },
        )

    def _on_line(self, line: bytes) -> bool:
        settings = self._settings
        if line.startswith(settings.beacon_prefix):
            self._heard()
            self._beacons.from_agent(protocol_line(self._clean(line, settings.beacon_prefix)))
            return True
        if line.startswith(settings.event_prefix):
            said = protocol_line(self._clean(line, settings.event_prefix))
            self._publish(activity(said))
            return True
        if settings.required and len(self._said) < KEPT_BYTES:
            self._said += line + b"\n"
        return False

    def _clean(self, line: bytes, prefix: bytes) -> bytes:
        text = line[len(prefix) :].decode(errors="replace")
        return hidden(text, self._secrets).encode()

    def _heard(self) -> None:
        if self._settings.enabled and self._settings.required:
            self._silence.deadline = trio.current_time() + self._settings.timeout_s
