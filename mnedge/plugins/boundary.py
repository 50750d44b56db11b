"""What an outside plugin gives us, taken with gloves: checked when it comes, and at every call.

A plugin from outside may give back anything, and raise anything. Each thing it brings is wrapped
here, so that the rest of mnedge meets what `ports` promises, or an error that names the plugin.
"""

import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Protocol

import msgspec
import trio

from mnedge.errors import MnedgeError, UnavailableError
from mnedge.model.resources import Device, Fingerprint
from mnedge.model.states import OutcomeStatus
from mnedge.plugins.shapes import (
    are_texts,
    device_problem,
    is_json,
    is_table,
    is_text,
    is_variable,
    said,
    short,
)
from mnedge.ports import (
    Batch,
    Connector,
    Delivery,
    DeviceProbe,
    Finished,
    Item,
    Launch,
    LineSink,
    Runner,
    Skill,
)

MOST_CURSOR_BYTES = 64 << 10
BEYOND_S = 10.0
"""After its timeout and grace, how long a runner may still take to come back."""
SKILL_S = 35.0
CONNECTOR_S = 45.0
_log = logging.getLogger("mnedge.plugins")


class PluginBrokenError(UnavailableError):
    """A plugin from outside raised what it should not, or gave back what it should not."""

    code = "plugin.broken"


class Author(Protocol):
    """The plugin that something came from."""

    @property
    def label(self) -> str:
        """Name and version."""

    @property
    def fault(self) -> str:
        """Why it is not used any more; nothing while it is good."""

    @property
    def may_be_interrupted(self) -> bool:
        """Tell whether an interrupt may be a person's; a daemon hears of those by a signal."""


def wrapped(hook: str, thing: Any, author: Author) -> Any:
    """Return the thing in a wrapper that keeps the port's promises; it passed `shape_problem`."""
    match hook:
        case "runners":
            return CheckedRunner(thing, author)
        case "skills":
            return CheckedSkill(thing, author)
        case "devices":
            return CheckedProbe(thing, author)
        case _:
            return CheckedConnector(thing, author)


class CheckedRunner(Runner):
    """A runner from outside."""

    def __init__(self, inner: Any, author: Author) -> None:
        self._inner, self._author = inner, author
        self.name: str = inner.name
        self.modules: tuple[str, ...] = tuple(inner.modules)
        self.isolation: str = inner.isolation

    def available(self) -> str | None:
        """Return what it says; that it is broken, if it says nothing sensible."""
        if self._author.fault:
            return f"plugin {self._author.label} is quarantined: {self._author.fault}"
        try:
            with _blamed(self._author, f"runner {self.name}: available()"):
                answer: str | None = self._inner.available()
                _expected(answer, answer is None or is_text(answer), "None or a text")
                return answer
        except PluginBrokenError as error:
            return error.message

    async def run(self, launch: Launch, on_line: LineSink) -> Finished:
        """Run to the end; whatever the plugin does wrong is a failed `Finished`."""
        began = trio.current_time()
        offered = _Offered(on_line)
        what = f"runner {self.name}: run()"
        try:
            async with _patience(self._limit_s(launch), self._author, what):
                answer = await _awaited(self._inner.run(launch, offered))
            with _blamed(self._author, what):
                return _finished(answer, launch.max_output_bytes)
        except PluginBrokenError as error:
            broke = error.message
        finally:
            offered.close()
        _log.error("%s", broke)
        elapsed_s = trio.current_time() - began
        return Finished(status=OutcomeStatus.FAILED, error=broke, elapsed_s=elapsed_s)

    async def sweep(self, tokens: Mapping[str, str]) -> int:
        """Return how many it killed; 0 if it broke, which is logged: recovery goes on."""
        try:
            what = f"runner {self.name}: sweep()"
            async with _patience(SKILL_S, self._author, what):
                answer = await _awaited(self._inner.sweep(dict(tokens)))
            return answer if type(answer) is int and answer >= 0 else 0
        except PluginBrokenError as error:
            _log.error("%s", error.message)
            return 0

    @staticmethod
    def _limit_s(launch: Launch) -> float:
        if launch.timeout_s is None:
            return float("inf")
        return launch.timeout_s + launch.grace_s + BEYOND_S


class CheckedSkill(Skill):
    """An output skill from outside."""

    def __init__(self, inner: Any, author: Author) -> None:
        self._inner, self._author = inner, author
        self.name: str = inner.name

    def check(self, settings: Mapping[str, Any]) -> list[str]:
        """Return what it complains about; its own breakage is a complaint too."""
        return _complaints(self._author, f"skill {self.name}", self._inner, settings)

    async def deliver(self, delivery: Delivery, settings: Mapping[str, Any]) -> None:
        """Deliver; what is not an error of ours becomes one that names the plugin."""
        _usable(self._author)
        async with _patience(SKILL_S, self._author, f"skill {self.name}: deliver()"):
            await _awaited(self._inner.deliver(delivery, settings))


class CheckedProbe(DeviceProbe):
    """A device probe from outside."""

    def __init__(self, inner: Any, author: Author) -> None:
        self._inner, self._author = inner, author
        self.name: str = inner.name

    @property
    def watched(self) -> tuple[str, ...]:
        """Return the folders that it names now."""
        with _blamed(self._author, f"device probe {self.name}: watched"):
            answer = self._inner.watched
            _expected(answer, are_texts(answer), "folders")
            return tuple(answer)

    def probe(self) -> Fingerprint:
        """Return what it found, every member of the type that it should have."""
        _usable(self._author)
        with _blamed(self._author, f"device probe {self.name}: probe()"):
            answer = self._inner.probe()
            _expected(answer, isinstance(answer, Fingerprint), "a Fingerprint")
            found: Fingerprint = _converted(answer, Fingerprint)
            for device in found.devices:
                if problem := device_problem(device):
                    raise _Unfit(f"the device {short(device.id)}: {problem}")
            return found

    def environment(self, lent: Sequence[Device]) -> Mapping[str, str]:
        """Return variables, all of them texts that an environment can hold."""
        _usable(self._author)
        with _blamed(self._author, f"device probe {self.name}: environment()"):
            answer = self._inner.environment(tuple(lent))
            _expected(answer, isinstance(answer, Mapping), "variables")
            for name, value in answer.items():
                _expected((name, value), is_variable(name, value), "variables")
            return dict(answer)


class CheckedConnector(Connector):
    """A connector from outside."""

    def __init__(self, inner: Any, author: Author) -> None:
        self._inner, self._author = inner, author
        self.name: str = inner.name

    def check(self, settings: Mapping[str, Any]) -> list[str]:
        """Return what it complains about; its own breakage is a complaint too."""
        return _complaints(self._author, f"connector {self.name}", self._inner, settings)

    async def read(
        self, settings: Mapping[str, Any], cursor: str | None = None, *, folder: str = ""
    ) -> Batch:
        """Return what it read, every member of the type that it should have."""
        _usable(self._author)
        what = f"connector {self.name}: read()"
        async with _patience(CONNECTOR_S, self._author, what):
            answer = await _awaited(self._inner.read(settings, cursor, folder=folder))
        with _blamed(self._author, what):
            is_pair = isinstance(answer, tuple) and len(answer) == 2
            _expected(answer, is_pair, "a Batch")
            items, onwards = answer
            _expected(onwards, is_text(onwards), "a cursor that is text")
            is_short = len(onwards.encode()) <= MOST_CURSOR_BYTES
            _expected(len(onwards), is_short, "a cursor of at most 64 KiB")
            _expected(items, isinstance(items, list), "a list of items")
            for item in items:
                _expected(item, isinstance(item, Item), "items")
            return Batch([_converted(item, Item) for item in items], onwards)


class _Unfit(Exception):
    """What came back is not what the port promises."""


class _Offered:
    """Our end of `on_line`: open during the run, called in the loop's own thread, with bytes."""

    def __init__(self, on_line: LineSink) -> None:
        self._on_line: LineSink | None = on_line
        self._thread = threading.get_ident()

    def __call__(self, line: bytes) -> bool:
        if type(line) is not bytes:
            raise TypeError(f"on_line takes bytes, not {type(line).__name__}")
        if threading.get_ident() != self._thread:
            raise RuntimeError("on_line was called in another thread than run")
        if self._on_line is None:
            raise RuntimeError("on_line was called after run had ended")
        return self._on_line(line)

    def close(self) -> None:
        self._on_line = None


async def _awaited(answer: object) -> Any:
    if not isinstance(answer, Awaitable):
        raise _Unfit(f"{short(answer)}, which cannot be waited for")
    return await answer


@contextmanager
def _blamed(author: Author, what: str) -> Iterator[None]:
    """Turn what the plugin raises into an error that names it; our own errors pass."""
    try:
        yield
    except MnedgeError as error:
        if not _is_sayable(error):
            raise _broken(author, f"{what} raised {said(error)}") from error
        raise
    except _Unfit as error:
        raise _broken(author, f"{what} returned {error}") from error
    except (GeneratorExit, trio.Cancelled):
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and author.may_be_interrupted:
            raise
        if isinstance(error, BaseExceptionGroup) and (ours := error.subgroup(trio.Cancelled)):
            raise ours from None  # the cancellation counts; what else broke on the way out is told
        raise _broken(author, f"{what} raised {said(error)}") from error


@asynccontextmanager
async def _patience(seconds: float, author: Author, what: str) -> AsyncIterator[None]:
    """Cut off what takes longer than any port allows."""
    with trio.move_on_after(seconds) as deadline:
        with _blamed(author, what):
            yield
    if deadline.cancelled_caught:
        raise _broken(author, f"{what} did not come back within {seconds:.0f} s")


def _is_sayable(error: MnedgeError) -> bool:
    """Tell whether an error of ours, as a plugin made it, can be shown and written down."""
    return is_text(getattr(error, "message", None)) and is_text(getattr(error, "hint", "") or "")


def _usable(author: Author) -> None:
    if author.fault:
        raise PluginBrokenError(
            f"plugin {author.label} is quarantined: {author.fault}",
            hint=f"mnedge plugin show {_name(author)}",
        )


def _broken(author: Author, how: str) -> PluginBrokenError:
    return PluginBrokenError(
        f"plugin {author.label}: {how}", hint=f"mnedge plugin check {_name(author)}"
    )


def _complaints(author: Author, what: str, inner: Any, settings: Mapping[str, Any]) -> list[str]:
    try:
        _usable(author)
        with _blamed(author, f"{what}: check()"):
            answer = inner.check(settings)
            _expected(answer, are_texts(answer), "sentences")
            return list(answer)
    except MnedgeError as error:
        return [error.message]


def _finished(answer: object, cap_bytes: int) -> Finished:
    """Return a `Finished` of our own with the members of theirs, each of its type.

    Raises: _Unfit.
    """
    if not isinstance(answer, Finished):
        raise _Unfit(f"{short(answer)}, not a Finished")
    wants: tuple[tuple[str, Callable[[Any], bool]], ...] = (
        ("status", lambda value: type(value) is OutcomeStatus),
        ("exit_code", lambda value: value is None or type(value) is int),
        ("stdout", lambda value: type(value) is bytes),
        ("stderr", lambda value: type(value) is bytes),
        ("error", lambda value: value is None or is_text(value)),
        ("dropped_bytes", lambda value: is_table(value, int)),
        ("elapsed_s", lambda value: type(value) in (int, float)),
        ("rusage", lambda value: is_table(value, int, float)),
        ("extra", is_json),
    )
    found: dict[str, Any] = {}
    for name, fits in wants:
        value = getattr(answer, name)
        if not fits(value):
            raise _Unfit(f"a Finished whose {name} is {short(value)}")
        found[name] = value
    dropped = dict(found["dropped_bytes"])
    for stream in ("stdout", "stderr"):
        if (beyond := len(found[stream]) - cap_bytes) > 0:
            found[stream] = found[stream][:cap_bytes]
            dropped[stream] = dropped.get(stream, 0) + beyond
    return Finished(**{**found, "dropped_bytes": dropped})


def _expected(value: object, is_fit: bool, what: str) -> None:
    """Go on if the value is fit.

    Raises: _Unfit.
    """
    if not is_fit:
        raise _Unfit(f"{short(value)}, not {what}")


def _converted(value: Any, kind: Any) -> Any:
    """Return a copy whose members have the types that are written down.

    Raises: _Unfit.
    """
    try:
        msgspec.json.encode(value)  # it has to be kept: texts that nothing can write are none
        return msgspec.convert(msgspec.to_builtins(value), kind, strict=True)
    except (msgspec.ValidationError, TypeError, ValueError, RecursionError) as error:
        raise _Unfit(f"a {type(value).__name__} that is none: {error}") from error


def _name(author: Author) -> str:
    return author.label.partition(" ")[0]
