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
from collections.abc import Mapping
from contextlib import suppress

import msgspec

from mnedge import hookspecs
from mnedge.plugins import shapes
from mnedge.plugins.asking import (
    READY,
    PluginUnfitError,
    Report,
    Request,
    Trouble,
    clash,
    harmless,
    most_bytes,
    things,
    traced,
)
from mnedge.plugins.depot import HOOKS
from mnedge.plugins.loading import load

CPU_S = 15
FILE_BYTES = 64 << 20


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
        brings = {hook: tuple(shapes.names_of(hook, t)[0] for t in found[hook]) for hook in found}
        clash(found, bundled_names(request.scratch))
    except PluginUnfitError as error:
        trace = "" if error.__cause__ is None else traced(error.__cause__)
        trouble = Trouble(stage=error.stage, message=error.message, trace=trace)
    except KeyboardInterrupt as error:  # nobody is at a keyboard here
        trouble = Trouble(stage="import", message="it interrupts the program", trace=traced(error))
    took_s = round(time.monotonic() - began, 3)
    return Report(brings=dict(brings), trouble=trouble, took_s=took_s)


def bundled_names(scratch: str) -> dict[str, dict[str, str]]:
    """Return hook → name → `bundled`, for what comes with mnedge."""
    manager, arguments = load(), harmless(scratch)
    taken: dict[str, dict[str, str]] = {}
    for hook in HOOKS:
        given = inspect.signature(getattr(hookspecs, hook)).parameters
        groups = getattr(manager.hook, hook)(**{name: arguments[name] for name in given})
        names = (name for group in groups for t in group for name in shapes.names_of(hook, t))
        taken[hook] = dict.fromkeys(names, "bundled")
    return taken


def _limit() -> None:
    """Keep what the plugin eats from hurting the machine; the first to go when memory is short."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")
    for number, limit in (
        (resource.RLIMIT_DATA, most_bytes()),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
    ):
        with suppress(OSError, ValueError):
            hard = resource.getrlimit(number)[1]
            limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(number, (limit, hard))
