"""The shipped file: what `make binary` made, never the source tree."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE = Path(os.environ.get("MNEDGE_BINARY", ROOT / "dist" / "mnedge")).resolve()
"""Read before any test takes the variables of mnedge away."""


@pytest.fixture(scope="session")
def binary() -> Path:
    """The one file."""
    assert FILE.is_file(), f"{FILE} is not there: `make binary` makes it"
    return FILE


@pytest.fixture(scope="session")
def shipped(binary: Path) -> Path:
    """The folder with all that is shipped."""
    return binary.parent


@pytest.fixture(scope="session")
def onedir(binary: Path) -> Path:
    """The plain folder that the file unpacks to: executable and `_internal`."""
    return binary.parent / "onedir" / binary.name


@pytest.fixture(scope="session")
def runtime(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the file is unpacked already, for all processes of this run of tests."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "runtime"
    environ = {"PATH": os.environ["PATH"], "MNEDGE_RUNTIME_DIR": str(folder)}
    subprocess.run([binary, "--version"], env=environ, check=True, stdout=subprocess.DEVNULL)
    return folder
