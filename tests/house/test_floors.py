"""The floors hold, and the contracts that say so break when somebody crosses them."""

import ast
import shutil
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

from tests.house.tree import ROOT, dotted, modules, parsed

CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys; sys.path[:0] = ['.', 'plugins']\n"
        "from importlinter.cli import lint_imports_command; lint_imports_command()"
    )
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache", "--config", "pyproject.toml"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "200"},
    )


def test_every_package_imports_only_from_floors_below():
    checked = lint_imports(ROOT)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_each_contract_breaks_when_it_is_crossed(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for folder in ("mnedge", "plugins"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.so"))
    crossings = {
        "mnedge/model/crossing.py": "import mnedge.plugins.loading",
        "mnedge/engine/crossing.py": "import socket",
        "plugins/mnedge_runners/crossing.py": "import mnedge.engine.crossing",
        "mnedge/bundle/crossing.py": "import mnedge_runners",
    }
    for file, line in crossings.items():
        (tmp_path / file).write_text(line + "\n")

    said = lint_imports(tmp_path).stdout

    for contract in CONTRACTS["contracts"]:
        assert f"{contract['name']} BROKEN" in said, said


def test_every_bundled_plugin_is_under_contract():
    bundled = {path.parent.name for path in (ROOT / "plugins").glob("mnedge_*/__init__.py")}
    by_id = {contract["id"]: contract for contract in CONTRACTS["contracts"]}
    assert bundled == set(CONTRACTS["root_packages"]) - {"mnedge"}
    assert bundled == set(by_id["public_face"]["source_modules"])
    assert bundled == set(by_id["named_as_strings"]["forbidden_modules"])


def test_no_modules_import_each_other_in_a_circle():
    known = {dotted(module) for module in modules()}
    imported = {dotted(module): imports_of(module, known) for module in modules()}
    TopologicalSorter(imported).prepare()  # raises CycleError with the circle


def imports_of(module: Path, known: set[str]) -> set[str]:
    """Return the modules that this one imports, at its top or later, also for types alone."""
    named: set[str] = set()
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            named |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return named & known
