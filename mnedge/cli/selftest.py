"""`mnedge selftest`: this program, tried on this machine."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from mnedge.cli.verbs import Asked, Verb, awaited

if TYPE_CHECKING:
    from mnedge.daemon.selftest import Check


async def verbs() -> str:
    """Return how many verbs there are, every one of them imported."""
    from mnedge.cli.root import root

    return f"{sum(1 for _ in every_verb(root, click.Context(root)))} verbs"


def every_verb(command: click.Command, ctx: click.Context) -> Iterator[click.Command]:
    """Yield the command, or the verbs below it.

    Raises: LookupError naming one that is listed and not there.
    """
    if not isinstance(command, click.Group):
        yield command
        return
    for name in command.list_commands(ctx):
        child = command.get_command(ctx, name)
        if child is None:
            raise LookupError(f"{ctx.command_path} {name} is no command")
        yield from every_verb(child, click.Context(child, parent=ctx, info_name=name))


@click.command("selftest", cls=Verb)
@click.pass_obj
def selftest(asked: Asked) -> int:
    """Try this program on this machine: run a job, kill its daemon, see it recover.

    Everything happens in a temporary folder, with a daemon of its own: no node is touched, and
    nothing is left behind. It takes some seconds. Exit code 1 if anything is not as it should be.
    """
    from rich.text import Text

    from mnedge.cli.reach import refuse_named
    from mnedge.cli.screen import Screen
    from mnedge.cli.show import BAD, GOOD
    from mnedge.daemon.selftest import selftest as tried

    refuse_named(asked, "selftest")
    screen = Screen(asked)

    def tell(check: "Check") -> None:
        mark = (GOOD, "green") if check.ok else (BAD, "bold red")
        words = (f" {check.name:<26}", (f"{check.took_s:6.2f} s  ", "dim"), check.found)
        screen.say(Text.assemble(mark, *words))
        screen.flush()

    checks = awaited(tried, tell, os.environ, {"verbs": verbs})
    good = all(check.ok for check in checks)
    took_s = sum(check.took_s for check in checks)
    if asked.human:
        failed = sum(not check.ok for check in checks)
        verdict = "this program works here" if good else f"{failed} of {len(checks)} checks failed"
        (screen.good if good else screen.note)(f"{verdict} ({took_s:.1f} s)")
    elif asked.output == "json":
        screen.document({"ok": good, "took_s": round(took_s, 3), "checks": checks})
    else:
        screen.records(checks)
    return 0 if good else 1
