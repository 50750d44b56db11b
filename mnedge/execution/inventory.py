"""The devices of this machine: looked for at the start, when one comes or goes, and when asked.

Probes work in threads of their own, 5 s at most each. One that fails or hangs is named; what it
found last is kept, and lent to nobody new.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import trio
from msgspec import Struct
from msgspec.structs import replace

from mnedge.execution.hotplug import FolderWatch
from mnedge.execution.overrides import Said, overridden, said_by
from mnedge.model.resources import GPU, Device, Fingerprint, with_markers
from mnedge.part import Part
from mnedge.ports import DeviceProbe

LIMIT_S = 5.0
SETTLE_S = 0.5
"""One plug makes many nodes, and names for them, one after the other."""
SETTLE_MOST_S = 3.0
MOST_IN_VAIN, CALM_S = 4, 60.0
"""Where nodes come and go that are nobody's, each look in vain doubles the wait before the next."""
MEMORY_S = 60.0
"""Between two looks at how much memory GPUs have free; without a GPU nobody looks."""

Tell = Callable[[str, str, Mapping[str, Any]], None]
"""(level, message, fields) → said."""


def unheard(level: str, message: str, fields: Mapping[str, Any]) -> None:
    """Say nothing: nobody listens."""


class Changed(Struct, frozen=True, kw_only=True):
    """What a look came to."""

    devices: tuple[Device, ...]
    gone: frozenset[str] = frozenset()
    """Ids of those that were there and healthy, and are not any more."""


class Probed(Struct, frozen=True, kw_only=True):
    """How a probe fared."""

    name: str
    devices: int
    problem: str = ""


class Inventory(Part):
    """What this machine has. `known` looks if nobody did; as a part it also keeps looking.

    `lent`: id → how many have it; what is lent when it vanishes stays, as unhealthy.
    """

    def __init__(
        self,
        probes: Mapping[str, DeviceProbe] | None = None,
        environ: Mapping[str, str] | None = None,
        *,
        disabled: Sequence[str] = (),
        tell: Tell = unheard,
    ) -> None:
        self._probes = {
            name: probe for name, probe in sorted((probes or {}).items()) if name not in disabled
        }
        self.said: Said = said_by(environ or {})
        self._tell = tell
        self.lent: Callable[[], Mapping[str, int]] = dict
        self.devices: tuple[Device, ...] = ()
        self.capabilities: tuple[str, ...] = self.said.capabilities
        self.drivers: tuple[str, ...] = self.said.drivers or ()
        self._found: dict[str, Fingerprint] = {}
        self._problems: dict[str, str] = {}
        self._doubles: dict[str, str] = {}
        """Probes that found what another one has, and what: it makes none of theirs ill."""
        self._owner: dict[str, str] = {}
        self._lost: dict[str, Device] = {}
        self._hanging: dict[str, trio.Event] = {}
        """Probes that have a thread, and what is set when it ends."""
        self._unwatched: set[str] = set()
        self._threads = trio.CapacityLimiter(max(len(self._probes), 1))
        self._one = trio.Lock()
        self._looked = False
        self._followers: list[Callable[[Changed], None]] = []
        self._nursery: trio.Nursery | None = None
        self._with_memory = trio.Event()

    def follow(self, changed: Callable[[Changed], None]) -> None:
        """Have the function called after each look that changed something."""
        self._followers.append(changed)

    @property
    def looked(self) -> bool:
        """Tell whether all probes were asked once."""
        return self._looked

    @property
    def probes(self) -> list[Probed]:
        """Return how each probe fared when it was last asked."""
        return [
            Probed(
                name=name,
                devices=len(self._found[name].devices) if name in self._found else 0,
                problem=self._problems.get(name) or self._doubles.get(name, ""),
            )
            for name in self._probes
        ]

    async def known(self) -> None:
        """Return when all probes have been asked."""
        if not self._looked:
            async with self._one:
                if not self._looked:
                    await self._look(set(self._probes))

    async def look(self, names: Iterable[str] | None = None) -> None:
        """Ask these probes, or all."""
        async with self._one:
            await self._look(self._probes.keys() & set(self._probes if names is None else names))

    def look_soon(self) -> None:
        """Ask all probes without waiting for it."""
        if self._nursery is not None:
            self._nursery.start_soon(self.look)

    def environment(self, lent: Sequence[Device]) -> dict[str, str]:
        """Return what the makers' libraries read: which of their devices a worker may see.

        Of kinds of which the machine has none nothing is said.
        """
        told: dict[str, str] = {}
        owners = {self._owner.get(device.id) for device in self.devices}
        for name, probe in self._probes.items():
            if name not in owners:
                continue
            own = [device for device in lent if self._owner.get(device.id) == name]
            try:
                told.update(msgspec.convert(probe.environment(own), dict[str, str]))
            except Exception as error:  # whoever wrote a probe may have erred
                self._tell("warning", f"device probe {name}: {_text(error)}", {"probe": name})
        return told

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look, and look again whenever a watched folder changes; it is ready before it looked."""
        task_status.started()
        for problem in self.said.problems:
            self._tell("warning", problem, {})
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._watch_memory)
            try:
                watch = FolderWatch()
            except OSError as error:
                self._no_watch(error)
                await self.look()
                return
            try:
                await self._watch(watch)
            except OSError as error:
                self._no_watch(error)
            finally:
                watch.close()

    async def _watch(self, watch: FolderWatch) -> None:
        watch.follow(self._watched())
        await self.known()
        in_vain, looked_at = 0, trio.current_time()
        while True:
            fresh = watch.follow(self._watched())
            if fresh:
                await self.look(fresh)  # what came before its folder was watched
                continue
            names = await watch.changed()
            if trio.current_time() - looked_at > CALM_S:
                in_vain = 0
            names |= await _settled(watch, SETTLE_S * 2 ** min(in_vain, MOST_IN_VAIN))
            before = self.devices
            await self.look(names)
            in_vain, looked_at = in_vain + 1 if self.devices == before else 0, trio.current_time()

    def _no_watch(self, error: OSError) -> None:
        self._tell(
            "warning",
            f"devices that come and go are not noticed ({error.strerror}); SIGHUP looks again",
            {},
        )

    def _watched(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for name, probe in self._probes.items():
            try:
                found[name] = _paths(probe.watched)
            except Exception as error:  # whoever wrote a probe may have erred
                if name not in self._unwatched:
                    self._unwatched.add(name)
                    text = f"device probe {name} is not watched: {_text(error)}"
                    self._tell("warning", text, {"probe": name})
        return found

    async def _watch_memory(self) -> None:
        while True:
            await self._with_memory.wait()
            await trio.sleep(MEMORY_S)
            await self.look(self._measured())

    def _measured(self) -> set[str]:
        return {
            name
            for name, found in self._found.items()
            if any(device.memory_free_mb is not None for device in found.devices)
        }

    async def _look(self, names: Iterable[str]) -> None:
        before = {name: self._problems.get(name, "") for name in names}
        async with trio.open_nursery() as nursery:
            for name in before:
                nursery.start_soon(self._ask, name)
        for name, old in before.items():
            new = self._problems.get(name, "")
            if new and new != old:
                self._tell("warning", f"device probe {name}: {new}", {"probe": name})
        first, self._looked = not self._looked, True
        self._settle(first=first)

    async def _ask(self, name: str) -> None:
        if name in self._hanging and name in self._problems:
            return  # its thread still hangs: another would as well
        with trio.move_on_after(LIMIT_S):
            late = self._hanging.get(name)
            if late is not None:  # who asked before was cancelled, its thread is at work
                await late.wait()
        if name in self._hanging:
            self._problems[name] = f"it did not answer within {LIMIT_S:g} s"
            return
        probe, answers = self._probes[name], list[Fingerprint | Exception]()
        ended, token = trio.Event(), trio.lowlevel.current_trio_token()

        def ask() -> None:
            try:
                answers.append(_sound(probe.probe()))
            except Exception as error:  # whoever wrote a probe may have erred
                answers.append(error)
            finally:
                del self._hanging[name]
                with suppress(trio.RunFinishedError):
                    token.run_sync_soon(ended.set)

        self._hanging[name] = ended
        with trio.move_on_after(LIMIT_S):
            await trio.to_thread.run_sync(ask, limiter=self._threads, abandon_on_cancel=True)
        match answers:
            case [Fingerprint() as found]:
                self._found[name] = found
                self._problems.pop(name, None)
            case [Exception() as error]:
                self._problems[name] = _text(error)
            case _:
                self._problems[name] = f"it did not answer within {LIMIT_S:g} s"

    def _settle(self, *, first: bool) -> None:
        """Take over what all probes found, and tell what has changed."""
        found, owner = self._together()
        here = {device.id: device for device in overridden(found, self.said)}
        before = {device.id: device for device in self.devices}
        lent = self.lent()
        for own, device in before.items():
            if own not in here and lent.get(own):
                self._lost[own] = replace(device, healthy=False)
        kept = {own: device for own, device in self._lost.items() if own not in here}
        self._lost = kept
        for own in kept:
            owner.setdefault(own, self._owner.get(own, ""))
        for own, device in here.items():
            owner.setdefault(own, device.vendor)  # one that only the operator knows of
        self._owner = owner
        self.devices = tuple(sorted((*here.values(), *kept.values()), key=_place))
        labels = [label for told in self._found.values() for label in told.capabilities]
        labels += [label for device in here.values() for label in _labels_of(device)]
        self.capabilities = with_markers([*labels, *self.said.capabilities])
        drivers = {driver for told in self._found.values() for driver in told.drivers}
        self.drivers = self.said.drivers or tuple(sorted(drivers))
        if self._measured() and not self._with_memory.is_set():
            self._with_memory.set()
        elif not self._measured() and self._with_memory.is_set():
            self._with_memory = trio.Event()
        self._tell_changes(before, first=first)
        gone = frozenset(
            own
            for own, device in before.items()
            if device.healthy
            and (
                own not in here or (not here[own].healthy and owner.get(own) not in self._problems)
            )
        )
        if gone or self.devices != tuple(before.values()):
            for follower in self._followers:
                follower(Changed(devices=self.devices, gone=gone))

    def _together(self) -> tuple[list[Device], dict[str, str]]:
        """Return what all probes found, and whose each is; of two with one id the first counts."""
        owner: dict[str, str] = {}
        found: list[Device] = []
        doubles: dict[str, str] = {}
        for name in self._probes:
            is_ill = name in self._problems
            for device in self._found.get(name, Fingerprint()).devices:
                if device.id in owner:
                    doubles[name] = f"two devices have the id {device.id}; the second is left out"
                    continue
                owner[device.id] = name
                found.append(replace(device, healthy=False) if is_ill else device)
        for name, problem in doubles.items():
            if self._doubles.get(name) != problem:
                self._tell("warning", f"device probe {name}: {problem}", {"probe": name})
        self._doubles = doubles
        return found, owner

    def _tell_changes(self, before: Mapping[str, Device], *, first: bool) -> None:
        now = {device.id: device for device in self.devices}
        if first:
            counts: dict[str, int] = {}
            for device in now.values():
                counts[device.kind] = counts.get(device.kind, 0) + 1
            said = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
            self._tell("info", f"devices of this machine: {said or 'none'}", {"devices": counts})
            return
        for own in before.keys() - now.keys():
            self._say("device.lost", "info", "device is gone", before[own])
        for own, device in now.items():
            old = before.get(own)
            if old is None or (device.healthy and not old.healthy):
                self._say("device.appeared", "info", "device appeared", device)
            elif old.healthy and own in self._lost:
                self._say("device.lost", "warning", "device is gone while it is lent", device)
            elif old.healthy and not device.healthy:
                self._say("device.unhealthy", "warning", "device is unhealthy", device)

    def _say(self, event: str, level: str, what: str, device: Device) -> None:
        name = f" ({device.name})" if device.name else ""
        fields = {"event": event, "device": device.id, "kind": device.kind}
        self._tell(level, f"{what}: {device.kind} {device.id}{name}", fields)


async def _settled(watch: FolderWatch, quiet_s: float) -> set[str]:
    """Wait until nothing came or went for that long, within a bound; return whom it concerned."""
    names: set[str] = set()
    with trio.move_on_after(max(SETTLE_MOST_S, quiet_s)):
        while True:
            with trio.move_on_after(quiet_s) as quiet:
                names |= await watch.changed()
            if quiet.cancelled_caught:
                break
    return names


def _sound(found: object) -> Fingerprint:
    """Return what a probe answered, once every field of it is what it should be.

    Raises: TypeError, msgspec.ValidationError.
    """
    if not isinstance(found, Fingerprint):
        raise TypeError(f"it answered {type(found).__name__}, not a Fingerprint")
    return msgspec.convert(msgspec.to_builtins(found), Fingerprint)


def _paths(watched: object) -> tuple[str, ...]:
    """Return the folders to watch.

    Raises: TypeError if these are no whole paths.
    """
    good = isinstance(watched, tuple | list)
    found = [str(one) for one in watched] if isinstance(watched, tuple | list) else []
    if not good or not all(one.startswith("/") for one in found):
        raise TypeError(f"it wants {watched!r} watched, which are no whole paths")
    return tuple(found)


def _labels_of(device: Device) -> tuple[str, ...]:
    """Return what a device makes of the machine, also if only the operator says it is there."""
    if device.kind != GPU or not device.healthy:
        return ()
    unified = ("unified-memory",) if device.unified_memory else ()
    return (GPU, *filter(None, (device.vendor, device.driver)), *device.capabilities, *unified)


def _place(device: Device) -> tuple[str, int, str]:
    return (device.kind, device.index or 0, device.id)


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
