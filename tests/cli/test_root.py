"""The tree of verbs: complete, explained, and cheap to look at."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from mnedge.cli.root import NOUNS, root

CTX = click.Context(root)
NEVER_FOR_HELP = {"trio", "rich.console", "msgspec", "sqlite3", "psutil", "yaml", "pluggy"}


def verbs():
    for noun in NOUNS:
        command = root.get_command(CTX, noun)
        if isinstance(command, click.Group):
            yield from ((f"{noun} {name}", verb) for name, verb in command.commands.items())
        else:
            yield noun, command


@pytest.mark.parametrize("noun", NOUNS)
def test_the_short_help_is_the_nouns_own_first_line(noun):
    command = root.get_command(CTX, noun)
    assert command.get_short_help_str(200).rstrip(".") == NOUNS[noun][1].rstrip(".")


@pytest.mark.parametrize(
    "line,verb", list(verbs()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_verb_explains_itself_and_its_options(line, verb):
    answer = CliRunner().invoke(root, [*line.split(), "--help"])
    assert answer.exit_code == 0
    assert verb.help
    for param in verb.params:
        if isinstance(param, click.Option) and not param.hidden:
            assert param.help, f"{line} {param.opts}"


@pytest.mark.parametrize("line", ["--help", "job --help", "blueprint run --help", "run --help"])
def test_help_imports_nothing_heavy(line):
    program = (
        "import sys; from mnedge.cli.main import main; code = main(sys.argv[1:]);"
        "print(code, sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *line.split()], capture_output=True, text=True, check=True
    )
    imported = {name for name in NEVER_FOR_HELP if f"'{name}'" in done.stderr}
    assert done.stderr.startswith("0 ")
    assert not imported


def test_the_version_imports_nothing_at_all():
    program = (
        "import sys; from mnedge.cli.main import main; main(['--version']);"
        "print('click' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    version, heavy = done.stdout.splitlines()
    assert version.startswith("mnedge ")
    assert heavy == "False"
