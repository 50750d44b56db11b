"""Every module has its test file, and every test file has its module."""

import ast
from pathlib import Path

from tests.house.tree import ROOT, files, modules, parsed

NOT_MIRRORED = {
    "bench": "measures, asserts nothing",
    "binary": "drives the frozen executable",
    "blueprints": "drives our own blueprints",
    "contracts": "one suite per port, over all implementations",
    "corpus": "drives real manifests",
    "house": "the rules of the house",
    "interop": "drives the published client",
    "journals": "recorded jobs that replay for ever",
    "live": "drives whole programs with real time",
    "nix": "evaluates the flake, package and module",
    "second_ledger": "a naive twin of the engine's ledger, and how the two agree",
    "simulation": "drives many parts at once",
}
"""Folders of tests/ that follow no package, and what they do instead."""


def needs_no_test(module: Path) -> bool:
    """A module that only declares has nothing to test; tests/live drives `__main__`, one call."""
    return module.name == "__main__.py" or not any(
        does_something(node)
        for node in ast.walk(parsed(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def does_something(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether the body is more than a docstring, `...` or `raise NotImplementedError`."""
    return any(
        not (isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant))
        and ast.unparse(step) not in ("raise NotImplementedError", "pass")
        for step in function.body
    )


def place_of_test(module: Path) -> Path:
    inside = module.relative_to("mnedge") if module.parts[0] == "mnedge" else module
    return Path("tests") / inside.with_name(f"test_{module.name.lstrip('_')}")


def mirrored_tests() -> list[Path]:
    return [
        file
        for file in files()
        if file.parts[0] == "tests"
        and file.match("test_*.py")
        and not set(file.parts[1:-1]) & set(NOT_MIRRORED)
    ]


def holds_a_test(test_file: Path) -> bool:
    return any(
        getattr(node, "name", "").startswith("test_")
        or getattr(node, "name", "").startswith("Test")
        for node in parsed(test_file).body
    )


def test_every_module_has_its_test_file():
    untested = [
        f"{module} → {place_of_test(module)}"
        for module in modules()
        if not needs_no_test(module) and not (ROOT / place_of_test(module)).is_file()
    ]
    assert not untested, "\n".join(untested)


def test_every_test_file_has_its_module():
    expected = {place_of_test(module) for module in modules()}
    orphans = [str(path) for path in mirrored_tests() if path not in expected]
    assert not orphans, "\n".join(orphans)


def test_every_test_file_holds_a_test():
    hollow = [str(path) for path in mirrored_tests() if not holds_a_test(path)]
    assert not hollow, "\n".join(hollow)


def test_every_folder_that_follows_no_package_is_really_none():
    packages = {path.parent.name for path in (ROOT / "mnedge").glob("*/__init__.py")}
    assert not packages & set(NOT_MIRRORED)
