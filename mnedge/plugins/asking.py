"""A plugin from outside asked what it brings, in a manager of its own; what it is refused for."""

import inspect
import os
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pluggy
from msgspec import Struct

from mnedge import hookspecs
from mnedge.plugins import shapes
from mnedge.plugins.depot import HOOKS, Point, Stage

MOST_BYTES = 1 << 30
LEAST_BYTES = 256 << 20
READY = b'{"ready":true}\n'


class Request(Struct, frozen=True, kw_only=True):
    """What is asked of the process."""

    label: str
    folders: tuple[str, ...]
    """Put on the path, in this order: the plugin, then the libraries it may need."""
    points: tuple[Point, ...]
    scratch: str
    """An empty folder that hooks are given where they want one."""
    limit_s: float


class Trouble(Struct, frozen=True, kw_only=True):
    """Why a plugin cannot be loaded."""

    stage: Stage
    message: str
    trace: str = ""


class Report(Struct, frozen=True, kw_only=True):
    """What came of asking."""

    brings: dict[str, tuple[str, ...]] = {}
    trouble: Trouble | None = None
    took_s: float = 0.0


class PluginUnfitError(Exception):
    """Says in which stage a plugin turned out to be unfit, and why."""

    def __init__(self, stage: Stage, message: str) -> None:
        super().__init__(message)
        self.stage: Stage = stage
        self.message = message


def things(points: Sequence[Point], arguments: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Import, ask every hook, and return what was brought, each of a shape that fits.

    Raises: PluginUnfitError.
    """
    manager = imported(points)
    return {hook: asked(manager, hook, arguments) for hook in HOOKS}


def imported(points: Sequence[Point]) -> pluggy.PluginManager:
    """Return a manager of its own with the plugin in it: it can get in nobody's way.

    Raises: PluginUnfitError.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    for point in points:
        with unfit("import", f"{point.value} cannot be imported"):
            module, _, attributes = point.value.partition(":")
            plugin: Any = import_module(module)
            for attribute in filter(None, attributes.split(".")):
                plugin = getattr(plugin, attribute)
            if inspect.isclass(plugin):
                raise PluginUnfitError(
                    "import", f"{point.value} is a class: name an instance of it, or its module"
                )
        with unfit("import", f"{point.value} is no plugin"):
            if manager.get_name(plugin) is None:
                manager.register(plugin, name=point.value)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        named = str(error).partition(" in plugin ")[0]
        raise PluginUnfitError(
            "import", f"it implements an {named}; there are {', '.join(HOOKS)}"
        ) from error
    if points and not any(manager.get_hookcallers(plugin) for plugin in manager.get_plugins()):
        named = " and ".join(point.value for point in points)
        raise PluginUnfitError("import", f"nothing in {named} is marked @hookimpl")
    return manager


def asked(manager: pluggy.PluginManager, hook: str, arguments: Mapping[str, Any]) -> list[Any]:
    """Return what one hook brought, of a shape that fits.

    Raises: PluginUnfitError.
    """
    wanted = getattr(hookspecs, hook)
    given = {name: arguments[name] for name in inspect.signature(wanted).parameters}
    found: list[Any] = []
    with unfit("hook", f"its hook {hook} failed"):
        for group in getattr(manager.hook, hook)(**given):
            if not isinstance(group, list | tuple):
                kind = type(group).__name__
                raise PluginUnfitError("hook", f"its hook {hook} returned a {kind}, not a list")
            for thing in group:
                if problem := shapes.shape_problem(hook, thing):
                    raise PluginUnfitError("hook", f"its hook {problem}")
                found.append(thing)
    return found


def clash(found: Mapping[str, Sequence[Any]], taken: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse names that are taken; `taken`: hook → name → whose it is.

    Raises: PluginUnfitError.
    """
    for hook, brought in found.items():
        own: set[str] = set()
        for thing in brought:
            for name in dict.fromkeys(shapes.names_of(hook, thing)):
                whose = taken.get(hook, {}).get(name) or ("its own" if name in own else "")
                if whose:
                    raise PluginUnfitError(
                        "clash", f"its hook {hook} brings {name!r}, a name that is {whose} already"
                    )
                own.add(name)


def harmless(scratch: str) -> dict[str, Any]:
    """Return arguments for every hook with which nothing can be done."""
    return {
        "spawner": _NoSpawner(),
        "folder": scratch,
        "allowed": (),
        "sys_root": scratch,
        "dev_root": scratch,
    }


@contextmanager
def unfit(stage: Stage, what: str) -> Iterator[None]:
    """Turn whatever is raised inside into a `PluginUnfitError`; Ctrl-C passes."""
    try:
        yield
    except (PluginUnfitError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise PluginUnfitError(stage, f"{what}: {shapes.said(error)}") from error


def traced(error: BaseException) -> str:
    """Return the last lines of a traceback; nothing if not even that works."""
    try:
        return "".join(traceback.format_exception(error))[-2000:]
    except Exception:
        return ""


def most_bytes() -> int:
    """Return how much memory a process that probes may take on this machine."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(LEAST_BYTES, min(MOST_BYTES, machine // 2))


class _NoSpawner:
    """Starts nothing: a hook is only asked what it brings."""

    def start(self, *_: object, **__: object) -> Any:
        raise OSError("a hook starts nothing; run() does")

    async def sweep(self, tokens: object) -> int:
        del tokens
        return 0
