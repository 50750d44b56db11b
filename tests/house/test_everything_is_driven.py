"""Every verb, route and call has a test that drives it from outside: `@pytest.mark.drives(name)`.

Such a test starts at a shell, a socket or the application itself, and looks at the effect.
"""

import ast
from collections.abc import Iterator
from functools import cache
from importlib import import_module

import click

from mnedge.cli.root import root
from mnedge.gateway.console.routes import routes as console_routes
from mnedge.gateway.grpc.rpcs import RPCS
from mnedge.gateway.rest.app import ROUTES
from tests.house.tree import files, parsed


@cache
def marks() -> frozenset[str]:
    """Return every name in a `pytest.mark.drives(...)`."""
    return frozenset(
        text
        for file in files()
        if file.parts[0] == "tests" and file.suffix == ".py"
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.drives"
        for argument in node.args
        if (text := text_in(argument, parsed(file)))
    )


def text_in(node: ast.expr, module: ast.Module) -> str:
    """Return the text of a literal, also of one with names of texts in it."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(text_in(part, module) for part in parts)
        case ast.FormattedValue(value=ast.Name(id=name)):
            return texts_of(module).get(name, "")
        case _:
            return ""


@cache
def texts_of(module: ast.Module) -> dict[str, str]:
    """Return the texts that a module's own names and imported names stand for."""
    found: dict[str, str] = {}
    for node in module.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str() as text)):
                found[name] = text
            case ast.ImportFrom(module=str() as source, names=names) if source.startswith("tests."):
                kept = vars(import_module(source))
                found |= {
                    alias.asname or alias.name: kept[alias.name]
                    for alias in names
                    if isinstance(kept.get(alias.name), str)
                }
            case _:
                pass
    return found


def verbs(command: click.Command, path: str) -> Iterator[tuple[click.Command, str]]:
    """Yield every command that does something, with the words that call it."""
    if not isinstance(command, click.Group):
        yield command, path
        return
    ctx = click.Context(command)
    for name in command.list_commands(ctx):
        child = command.get_command(ctx, name)
        assert child is not None, f"{path} {name} is listed and not there"
        yield from verbs(child, f"{path} {name}")


def test_every_verb_of_the_command_line_is_driven():
    driven = marks()
    paths: dict[int, list[str]] = {}
    for command, path in verbs(root, "mnedge"):
        paths.setdefault(id(command), []).append(path)
    undriven = [names[0] for names in paths.values() if not driven & set(names)]
    assert not undriven, "\n".join(undriven)


def test_every_route_is_driven():
    driven = marks()
    undriven = [route.name for route in ROUTES if route.name not in driven]
    assert not undriven, "\n".join(undriven)


def test_every_page_of_the_console_is_driven():
    driven = marks()
    undriven = [
        name
        for page in console_routes()
        for method in sorted((page.methods or set()) - {"HEAD"})
        if (name := f"{method} {page.path}") not in driven
    ]
    assert not undriven, "\n".join(undriven)


def test_every_call_is_driven():
    driven = marks()
    undriven = [path for path in RPCS if path.lstrip("/") not in driven]
    assert not undriven, "\n".join(undriven)


def test_no_mark_names_what_is_not_there():
    known = {path for _, path in verbs(root, "mnedge")}
    known |= {route.name for route in ROUTES}
    known |= {path.lstrip("/") for path in RPCS}
    known |= {f"{method} {page.path}" for page in console_routes() for method in page.methods or ()}
    unknown = marks() - known
    assert not unknown, "\n".join(sorted(unknown))
