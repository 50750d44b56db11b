"""`mnedge completion`: the words that make a shell offer ours."""

import click

from mnedge.cli.completion import SHELLS, script
from mnedge.cli.verbs import Verb


@click.command("completion", cls=Verb)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what a shell reads to complete words of mnedge at the tab key.

    Names of jobs, blueprints, nodes and files are offered too.

    \b
    Examples:
      eval "$(mnedge completion bash)"                    # in ~/.bashrc
      eval "$(mnedge completion zsh)"                     # in ~/.zshrc
      mnedge completion fish > ~/.config/fish/completions/mnedge.fish
    """
    click.echo(script(shell))
