"""One word for one thing: banned names, units on numbers, clocks in place, nothing unfinished."""

import ast
import re

import pytest

from tests.house.tree import files, modules, parsed, text_of

BANNED_NAMES = {
    "base", "common", "data", "handler", "handlers", "helper", "helpers", "info", "manager",
    "managers", "misc", "util", "utils",
}  # fmt: skip
MEASURED = {
    "backoff", "delay", "duration", "elapsed", "grace", "interval", "period",
    "timeout", "ttl",
}  # fmt: skip
ALLOWED_IN = {
    "asyncio": (),
    "unittest.mock": (),
    "time.sleep": (),
    "time.time": ("mnedge/daemon/",),
    "time.time_ns": ("mnedge/daemon/",),
    "datetime.datetime.now": ("mnedge/daemon/",),
    "datetime.datetime.utcnow": (),
    "threading.Thread": ("mnedge/store/",),
    "threading.Timer": ("mnedge/daemon/main.py", "mnedge/plugins/suspicion.py"),
    "os.fork": (),
}
"""What is banned, and the folders that may have it all the same."""

UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b")
HOSTS = re.compile(r"pypi\.org|pythonhosted\.org|npmjs\.(?:com|org)|crates\.io|deb\.debian\.org")
MACHINE_PATHS = re.compile(r"(?<![\w.<-])/(?:work|root|Users)/|(?<![\w.<-])/home/[a-z]")
EXEMPTION = re.compile(r"#\s*(?:noqa|type:\s*ignore)(?P<code>[:\[][^#]*)?")
TEXTS = [file for file in files() if file.name != "LICENSE" and text_of(file) is not None]


def words_in(name: str) -> set[str]:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return {word.lower() for word in spaced.split("_")}


def places(pattern: re.Pattern[str], leave_out: frozenset[str] = frozenset()) -> list[str]:
    return [
        f"{file}:{number}: {line.strip()[:100]}"
        for file in TEXTS
        if str(file) not in leave_out
        for number, line in enumerate((text_of(file) or "").splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_module_has_a_name_that_says_nothing():
    found = [str(module) for module in modules() if words_in(module.stem) & BANNED_NAMES]
    assert not found, "\n".join(found)


def test_no_class_has_a_name_that_says_nothing():
    found = [
        f"{module}: {node.name}"
        for module in modules()
        for node in ast.walk(parsed(module))
        if isinstance(node, ast.ClassDef) and words_in(node.name) & BANNED_NAMES
    ]
    assert not found, "\n".join(found)


def test_a_measured_number_has_its_unit_in_its_name():
    found = []
    for module in modules():
        for node in ast.walk(parsed(module)):
            match node:
                case ast.AnnAssign(target=ast.Name(id=name), annotation=kind):
                    pass
                case ast.arg(arg=name, annotation=ast.expr() as kind):
                    pass
                case _:
                    continue
            if name.lower() in MEASURED and re.search(r"\b(int|float)\b", ast.unparse(kind)):
                found.append(f"{module}:{node.lineno}: {name}")
    assert not found, "\n".join(found)


def uses(module) -> list[tuple[int, str]]:
    """Return (line, dotted name) of everything imported or reached through an import."""
    names: dict[str, str] = {}
    found: list[tuple[int, str]] = []
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = alias.name
                found.append((node.lineno, alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                found += [(node.lineno, node.module), (node.lineno, f"{node.module}.{alias.name}")]
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Attribute):
            first, _, rest = ast.unparse(node).partition(".")
            if first in names:
                found.append((node.lineno, f"{names[first]}.{rest}"))
    return found


@pytest.mark.parametrize("banned", ALLOWED_IN)
def test_a_banned_call_stays_in_its_place(banned):
    found = []
    for module in modules():
        if str(module).startswith(ALLOWED_IN[banned]):
            continue
        lines = (text_of(module) or "").splitlines()
        found += [
            f"{module}:{number}: {name}"
            for number, name in uses(module)
            if name == banned and "noqa: TID251" not in lines[number - 1]
        ]
    assert not found, "\n".join(found)


def test_nothing_is_unfinished():
    found = places(UNFINISHED)
    assert not found, "\n".join(found)


def test_no_file_names_a_registry():
    found = places(HOSTS, frozenset({"tests/house/test_words.py"}))
    assert not found, "\n".join(found)


def test_no_file_names_a_place_on_somebodys_machine():
    found = places(MACHINE_PATHS, frozenset({"tests/house/test_words.py"}))
    assert not found, "\n".join(found)


def test_every_exemption_from_a_rule_names_the_rule():
    found = [
        f"{module}:{number}: {line.strip()}"
        for module in modules()
        for number, line in enumerate((text_of(module) or "").splitlines(), 1)
        if (exemption := EXEMPTION.search(line)) and not exemption["code"]
    ]
    assert not found, "\n".join(found)
