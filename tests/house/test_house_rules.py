"""Two folder levels, empty package files, modules that fit one head, the top level as drawn."""

import ast

import pytest

from tests.house.tree import ROOT, files, modules, parsed, text_of

MOST_LINES = 600
TOP_LEVEL = {
    ".ci", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md",
    "blueprints", "flake.lock", "flake.nix", "mnedge", "native", "packaging", "plugins",
    "pyproject.toml", "requirements.lock", "tests",
}  # fmt: skip


def test_packages_go_two_levels_below_the_root_at_most():
    too_deep = [str(module) for module in modules() if len(module.parts) > 4]
    assert not too_deep, "\n".join(too_deep)


@pytest.mark.parametrize(
    "package", [module for module in modules() if module.name == "__init__.py"], ids=str
)
def test_a_package_file_holds_a_docstring_and_nothing_else(package):
    docstring, *rest = parsed(package).body
    assert isinstance(docstring, ast.Expr)
    assert isinstance(docstring.value, ast.Constant)
    if str(package) == "mnedge/__init__.py":
        (version,) = rest
        assert ast.unparse(version).startswith("__version__ = ")
    else:
        assert rest == []


def test_every_folder_with_modules_is_a_package():
    folders = {module.parent for module in modules()}
    bare = [str(folder) for folder in folders if not (ROOT / folder / "__init__.py").is_file()]
    assert not bare, "\n".join(bare)


def test_no_module_has_two_ideas_in_it():
    lines = {module: (text_of(module) or "").count("\n") for module in modules()}
    too_long = [f"{module}: {n} lines" for module, n in lines.items() if n > MOST_LINES]
    assert not too_long, "\n".join(too_long)


def test_the_top_level_is_as_drawn():
    assert {file.parts[0] for file in files()} <= TOP_LEVEL


def test_the_tests_have_no_package_files():
    found = [str(f) for f in files() if f.parts[0] == "tests" and f.name == "__init__.py"]
    assert not found, "\n".join(found)
