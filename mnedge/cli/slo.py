"""`mnedge slo` and `mnedge alert`: goals, and what is told when they are missed."""

import click

from mnedge.cli.verbs import Asked, Noun, awaited


@click.group("slo", cls=Noun)
def slo() -> None:
    """Look at goals: what share goes well, and how fast the error budget burns.

    They are configured under `trace.slos`; `mnedge docs observability` says how.
    """


@slo.command("list")
@click.pass_obj
def list_(asked: Asked) -> None:
    """List goals with what is left of their error budgets.

    \b
    Example:
      mnedge slo list
    """
    from mnedge.cli import goals

    awaited(goals.list_goals, asked)


@slo.command("show")
@click.argument("name")
@click.pass_obj
def show(asked: Asked, name: str) -> None:
    """Show one goal: its windows, and how fast its budget burns in each.

    \b
    Example:
      mnedge slo show relay-p95-latency
    """
    from mnedge.cli import goals

    awaited(goals.show_goal, asked, name)


@slo.command("rules")
@click.option("--config", "file", metavar="FILE", help="Read this configuration file.")
@click.pass_obj
def rules(asked: Asked, file: str | None) -> None:
    """Print goals and alerts as a rule file for Prometheus.

    \b
    Example:
      mnedge slo rules > mnedge-rules.yaml
    """
    from mnedge.cli import goals

    goals.print_rules(asked, file)


@click.group("alert", cls=Noun)
def alert() -> None:
    """Look at alerts, silence them, try how they are sent."""


@alert.command("list")
@click.pass_obj
def alerts(asked: Asked) -> None:
    """List alerts and goals with what they came to, and what could not be sent.

    \b
    Example:
      mnedge alert list
    """
    from mnedge.cli import goals

    awaited(goals.list_alerts, asked)


@alert.command("silence")
@click.argument("name")
@click.option(
    "--for", "span", default="1h", show_default=True, metavar="TIME",
    help="For how long: 30m, 2h, 1d; 0 ends the silence.",
)  # fmt: skip
@click.option("--reason", default="", metavar="TEXT", help="Kept with the silence.")
@click.pass_obj
def silence(asked: Asked, name: str, span: str, reason: str) -> None:
    """Tell nothing of an alert for a while. What still fires then is told when that ends.

    \b
    Example:
      mnedge alert silence HighErrorRate --for 2h --reason "moving the rack"
    """
    from mnedge.cli import goals

    awaited(goals.silence_alert, asked, name, span, reason)


@alert.command("test")
@click.argument("name")
@click.pass_obj
def test(asked: Asked, name: str) -> None:
    """Send a trial through the channels of an alert, and say what became of it.

    \b
    Example:
      mnedge alert test HighErrorRate
    """
    from mnedge.cli import goals

    awaited(goals.test_alert, asked, name)
