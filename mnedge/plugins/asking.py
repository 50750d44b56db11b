"""The process that meets a plugin first: imports it, asks its hooks, says what came of it.

Runs as `mnedge plugin probe`. What it says goes to a pipe of its own, one line of JSON, so that
nothing the plugin prints can be taken for it. It is no jail: a plugin that is let in is trusted. It
is for those that are broken.
"""

import faulthandler
import inspect
import os
import resource
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

import msgspec
import pluggy
from msgspec import Struct

from mnedge import hookspecs
from mnedge.plugins import boundary
from mnedge.plugins.depot import HOOKS, Point, Stage

DATA_BYTES = 1 << 30
LEAST_BYTES = 256 << 20
CPU_S = 15
FILE_BYTES = 64 << 20
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


def answer(pipe: int) -> None:
    """Read a request from stdin, write the report to `pipe`, and end the process at once."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    os.set_inheritable(pipe, False)
    _limit()
    said = os.fdopen(os.dup(2), "wb", buffering=0)
    faulthandler.enable(said)
    faulthandler.dump_traceback_later(max(request.limit_s - 0.25, 0.1), exit=True, file=said)
    sys.dont_write_bytecode = True
    for path in request.folders:
        if path not in sys.path:
            sys.path.append(path)
    os.write(pipe, READY)
    report = reported(request)
    faulthandler.cancel_dump_traceback_later()
    text = msgspec.json.encode(report) + b"\n"
    while text:
        text = text[os.write(pipe, text) :]
    os._exit(0)


def reported(request: Request) -> Report:
    """Return what the plugin brings, or what is wrong with it."""
    began = time.monotonic()
    brings: Mapping[str, tuple[str, ...]] = {}
    trouble = None
    try:
        found = things(request.points, harmless(request.scratch))
        brings = {hook: tuple(boundary.names_of(hook, t)[0] for t in found[hook]) for hook in found}
        clash(found, bundled_names(request.scratch))
    except PluginUnfitError as error:
        trace = "" if error.__cause__ is None else traced(error.__cause__)
        trouble = Trouble(stage=error.stage, message=error.message, trace=trace)
    except KeyboardInterrupt as error:  # nobody is at a keyboard here
        trouble = Trouble(stage="import", message="it interrupts the program", trace=traced(error))
    took_s = round(time.monotonic() - began, 3)
    return Report(brings=dict(brings), trouble=trouble, took_s=took_s)


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
        raise PluginUnfitError("import", f"it implements an unknown hook: {error}") from error
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
                if problem := boundary.shape_problem(hook, thing):
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
            for name in dict.fromkeys(boundary.names_of(hook, thing)):
                whose = taken.get(hook, {}).get(name) or ("its own" if name in own else "")
                if whose:
                    raise PluginUnfitError(
                        "clash", f"its hook {hook} brings {name!r}, a name that is {whose} already"
                    )
                own.add(name)


def bundled_names(scratch: str) -> dict[str, dict[str, str]]:
    """Return hook → name → `bundled`, for what comes with mnedge."""
    from mnedge.plugins.loading import load

    manager, arguments = load(), harmless(scratch)
    taken: dict[str, dict[str, str]] = {}
    for hook in HOOKS:
        given = inspect.signature(getattr(hookspecs, hook)).parameters
        groups = getattr(manager.hook, hook)(**{name: arguments[name] for name in given})
        names = (name for group in groups for t in group for name in boundary.names_of(hook, t))
        taken[hook] = dict.fromkeys(names, "bundled")
    return taken


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
        raise PluginUnfitError(stage, f"{what}: {boundary.said(error)}") from error


def traced(error: BaseException) -> str:
    """Return the last lines of a traceback; nothing if not even that works."""
    try:
        return "".join(traceback.format_exception(error))[-2000:]
    except Exception:
        return ""


class _NoSpawner:
    """Starts nothing: a hook is only asked what it brings."""

    def start(self, *_: object, **__: object) -> Any:
        raise OSError("a hook starts nothing; run() does")

    async def sweep(self, tokens: object) -> int:
        del tokens
        return 0


def _limit() -> None:
    """Keep what the plugin eats from hurting the machine; the first to go when memory is short."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")
    most = max(LEAST_BYTES, min(DATA_BYTES, _memory_bytes() // 2))
    for number, limit in (
        (resource.RLIMIT_DATA, most),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
    ):
        with suppress(OSError, ValueError):
            hard = resource.getrlimit(number)[1]
            limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(number, (limit, hard))


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
