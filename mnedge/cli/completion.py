"""Words that the shell offers at the tab key, and the scripts that make it ask.

Names of runs and blueprints come from folders, so they come at once; of another node they are
asked for, with little patience.
"""

import os
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

import click

from mnedge.cli.verbs import Asked
from mnedge.errors import MnedgeError

MOST = 50
PATIENCE_S = 3.0
SHELLS = ("bash", "zsh", "fish")


def blueprints(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Offer blueprints by name."""
    del ctx, param
    from mnedge.bundle.catalogue import listed

    return beginning(incomplete, (entry.blueprint_id for entry in listed(os.environ)))


def runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Offer ids of runs, the newest first; a job's id is its run's id."""
    del param
    asked = _asked(ctx)
    if _is_elsewhere(asked):
        return beginning(incomplete, ["last", *_from_desk(asked, _job_ids)])
    from mnedge.config.read import read_config

    found: list[tuple[float, str]] = []
    with suppress(MnedgeError, OSError):
        root = read_config(os.environ, data_dir=asked.data_dir).runs_root
        found += [
            (entry.stat().st_mtime, entry.name) for entry in os.scandir(root) if entry.is_dir()
        ]
    return beginning(incomplete, ["last", *(name for _, name in sorted(found, reverse=True))])


def definitions(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Offer what can be started again."""
    del param
    return beginning(incomplete, _from_desk(_asked(ctx), _definition_ids))


def agents(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Offer the agents of the job that stands before on the line."""
    del param

    async def known(asked: Asked) -> list[str]:
        from mnedge.cli.reach import desk

        async with desk(asked) as there:
            view = (await there.look(str(ctx.params.get("job_id") or "last"))).view
        return [agent.agent_id for agent in view.agents]

    return beginning(incomplete, _from_desk(_asked(ctx), known))


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Offer the files that the job left which stands before on the line."""
    del param

    async def known(asked: Asked) -> list[str]:
        from mnedge.cli.reach import desk

        async with desk(asked) as there:
            _, found = await there.artifacts(str(ctx.params.get("job_id") or "last"))
        return [str(one["path"]) for one in found]

    return beginning(incomplete, _from_desk(_asked(ctx), known))


def contexts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Offer nodes that have a name."""
    del ctx, param
    from mnedge.cli.contexts import read

    with suppress(MnedgeError, OSError):
        return beginning(incomplete, ["here", *read(os.environ).contexts])
    return []


def topics(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Offer pages of the manual."""
    del ctx, param
    from mnedge.gateway.manual import pages

    return beginning(incomplete, (page.topic for page in pages()))


def beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    """Return the names that begin so, not too many."""
    return [name for name in names if name.startswith(incomplete)][:MOST]


def script(shell: str) -> str:
    """Return what a shell has to read to offer our words."""
    from click.shell_completion import get_completion_class

    from mnedge.cli.main import PROGRAM
    from mnedge.cli.root import root

    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"no completion for {shell}; there is {', '.join(SHELLS)}")
    source = made(root, {}, PROGRAM, "_MNEDGE_COMPLETE")
    return source.source_template % source.source_vars()


def _asked(ctx: click.Context) -> Asked:
    return ctx.obj if isinstance(ctx.obj, Asked) else Asked()


def _is_elsewhere(asked: Asked) -> bool:
    from mnedge.cli.reach import host_of

    with suppress(MnedgeError):
        return bool(host_of(asked))
    return False


def _from_desk(asked: Asked, known: Callable[[Asked], Awaitable[list[str]]]) -> list[str]:
    """Return names that the daemon or the store knows; none if that takes long, or fails."""
    import trio

    async def soon() -> list[str]:
        with trio.move_on_after(PATIENCE_S):
            return await known(asked)
        return []

    try:
        return trio.run(soon)
    except Exception:  # a tab key is no place for errors
        return []


async def _job_ids(asked: Asked) -> list[str]:
    from mnedge.cli.reach import desk
    from mnedge.model.states import JobStatus

    async with desk(asked) as there:
        return [record.job_id for record in await there.jobs(set(JobStatus), MOST)]


async def _definition_ids(asked: Asked) -> list[str]:
    from mnedge.cli.reach import desk

    async with desk(asked) as there:
        return [one.definition_id for one in await there.definitions(False)]
