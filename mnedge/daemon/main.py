"""`mnedge daemon`: a node that runs for ever; its start, its signals, its end."""

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio

from mnedge.config.current import Current
from mnedge.config.read import Loaded, Origin
from mnedge.config.settings import Logs
from mnedge.daemon.clock import wall_clock
from mnedge.daemon.joined import Serving, serving
from mnedge.daemon.memory import share_one_heap
from mnedge.daemon.notify import Notifier, without_ours
from mnedge.daemon.reloading import Reloaded, Reloading
from mnedge.daemon.watchdog import Watchdog
from mnedge.identity.secrets import Secrets
from mnedge.observe.logs import Bridge, Log
from mnedge.part import running

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
DEFAULT = Origin("default")
CLOSING_S = 15.0
"""How long the parts may take to end, after the grace of attempts."""
LEAVING_S = 2.0
"""How long they may take after a second signal."""


def serve(load: Callable[[], Loaded]) -> int:
    """Run until SIGTERM or SIGINT; return the exit code. `load` reads the configuration.

    Raises: DaemonRunningError; ConfigInvalidError.
    """
    share_one_heap()
    notifier = Notifier(os.environ)
    for name in list(os.environ):
        if name not in without_ours(os.environ):
            del os.environ[name]
    trio.run(_Life(load, notifier).live)
    return 0


class _Life:
    """From the start to the end of one daemon."""

    def __init__(self, load: Callable[[], Loaded], notifier: Notifier) -> None:
        self._load = load
        self._notifier = notifier
        self._current = Current(load())
        self._secrets = Secrets(self._current().environ)
        self._log = Log(self._logs, now=wall_clock, redact=self._secrets.text)
        self._reloading = Reloading(
            self._current, load, begun=notifier.reloading, done=self._reloaded
        )
        self._told_to_stop = trio.Event()
        self._is_up = False

    async def live(self) -> None:
        """Serve until told to stop; then let work end, within the grace."""
        with trio.open_signal_receiver(*SIGNALS) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._heed, signals, nursery.cancel_scope)
                await nursery.start(self._log.run)
                async with (
                    _libraries_heard(self._log),
                    serving(self._current, self._reloading, self._log, self._secrets) as here,
                ):
                    watchdog = Watchdog(
                        self._notifier.alive,
                        self._notifier.watchdog_s,
                        [here.store.pulse],
                        here.plugins.watch,
                    )
                    async with running(watchdog):
                        self._up(here)
                        async with running(here.inventory):  # who is ready has time to look
                            await self._told_to_stop.wait()
                            await self._stop(here)
                nursery.cancel_scope.cancel()

    def _logs(self) -> Logs:
        """Return how lines are written: as text if a person looks on, unless the file says how."""
        logs = self._current().trace.logs
        if sys.stderr.isatty() and self._current.loaded.origin("trace.logs.format") == DEFAULT:
            return msgspec.structs.replace(logs, format="text")
        return logs

    def _say(self, level: str, message: str, **fields: Any) -> None:
        self._log.say(level, "daemon", message, **fields)

    def _up(self, here: Serving) -> None:
        self._is_up = True
        gc.freeze()  # modules, settings, routes: never garbage, so they need not be looked through
        gc.enable()
        self._say("info", f"mnedge daemon ready: {here.config.data_dir}", listens=here.status)
        for problem in self._current.loaded.problems:
            if problem.severity == "warning":
                self._say("warning", _line(problem.record()))
        self._notifier.ready(here.status)

    async def _stop(self, here: Serving) -> None:
        """Take no new work, and wait for what runs as long as the grace allows."""
        grace_s = self._current().daemon.grace
        self._say("info", "mnedge daemon stops", grace_s=grace_s)
        self._notifier.stopping("waiting for attempts that run", within_s=grace_s + CLOSING_S)
        here.stop()
        with trio.move_on_after(grace_s):
            await here.host.drained()

    async def _heed(self, signals: AsyncIterator[int], everything: trio.CancelScope) -> None:
        """Do what signals say; the second that says stop leaves at once."""
        async for number in signals:
            if number == signal.SIGHUP:
                if self._is_up:
                    await self._reloading.reload()
            elif self._told_to_stop.is_set() or not self._is_up:
                _end_within(LEAVING_S)
                everything.cancel()
            else:
                _end_within(self._current().daemon.grace + CLOSING_S)
                self._told_to_stop.set()

    def _reloaded(self, result: Reloaded) -> None:
        self._say("info" if result.good else "error", result.summary)
        for problem in result.problems:
            self._say("error", _line(problem))
        self._notifier.ready(result.summary)


def _end_within(seconds: float) -> None:
    """End the process after that time, whatever it still waits for.

    A thread cannot be cancelled: one that looks at a huge bundle, or hangs in a disk, would keep
    the process for as long. Nothing is lost by it: every start is the one after a crash.
    """
    end = threading.Timer(seconds, os._exit, (0,))
    end.daemon = True
    end.start()


def _line(problem: dict[str, Any]) -> str:
    location = problem["location"]
    words = (location["source"], problem["rule"], location["path"], problem["message"])
    return " ".join(word for word in words if word)


@asynccontextmanager
async def _libraries_heard(log: Log) -> AsyncIterator[None]:
    """Have what libraries say through `logging` written as well."""
    bridge, root = Bridge(log), logging.getLogger()
    logging.getLogger("mnedge").setLevel(logging.DEBUG)  # the log itself knows what is wanted
    root.addHandler(bridge)
    try:
        yield
    finally:
        root.removeHandler(bridge)
