"""A wheel holds what it should, with a C compiler and without one."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.house.tree import ROOT

PARTS = ("mnedge", "plugins", "native", "blueprints", "pyproject.toml", "README.md", "LICENSE")

CAN_COMPILE = shutil.which("cc") and Path(sysconfig.get_path("include"), "Python.h").is_file()


def names_in_wheel(tmp_path: Path, environ: dict[str, str]) -> list[str]:
    """Build from a copy, so that nothing is left in the checkout; return the names inside."""
    source = tmp_path / "source"
    source.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            skipped = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info")
            shutil.copytree(ROOT / part, source / part, ignore=skipped)
        else:
            shutil.copy(ROOT / part, source)
    built = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--no-build-isolation"),
            *("--no-index", "-w", str(tmp_path), str(source)),
        ],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    return zipfile.ZipFile(wheel).namelist()


@pytest.mark.live
def test_a_wheel_without_a_compiler_lacks_only_the_compiled_module(tmp_path):
    names = names_in_wheel(tmp_path, {"CC": "/bin/false"})
    assert not [name for name in names if name.endswith(".so")]
    for folder in ("mnedge", "plugins", "blueprints"):
        there = {
            str(path.relative_to(ROOT))
            for path in (ROOT / folder).rglob("*")
            if path.suffix in {".py", ".md", ".json", ".lua", ".html", ".css", ".js", ".svg"}
            and "__pycache__" not in path.parts
        }
        prefix = {"mnedge": "mnedge/", "plugins": "", "blueprints": "mnedge/_blueprints/"}[folder]
        expected = {prefix + file.partition("/")[2] for file in there}
        # For readers of the checkout, and a distribution of its own.
        expected = {n for n in expected if n != "README.md" and not n.startswith("template/")}
        assert not [name for name in names if "template" in name.split("/")[0]]
        assert expected <= set(names), sorted(expected - set(names))


@pytest.mark.live
@pytest.mark.skipif(not CAN_COMPILE, reason="no C compiler or no Python.h here")
def test_a_wheel_made_with_a_compiler_holds_the_compiled_module(tmp_path):
    names = names_in_wheel(tmp_path, {})
    assert [name for name in names if name.startswith("mnedge/hot/_native.")]
