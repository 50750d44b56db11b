"""The standard library as compiled files, and the bare interpreter that runs on it."""

import importlib.util
import marshal
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

STDLIB = Path(sysconfig.get_path("stdlib"))
DYNLOAD = Path(sysconfig.get_config_var("DESTSHARED") or STDLIB / "lib-dynload")
LIBRARY = Path("python", "lib", STDLIB.name)
"""Where it stands below `_internal`."""
INTERPRETER = Path("python", "bin", "python3")
LEFT_OUT = {
    "__phello__", "__pycache__", "_distutils_hack", "dist-packages", "distutils", "idlelib",
    "lib-dynload", "lib2to3", "msilib", "site-packages", "sitecustomize.py", "test", "tests",
    "tkinter", "turtle.py", "turtledemo",
}  # fmt: skip
"""Tests, windows, and what Python itself has given up."""
LEFT_OUT_PATHS = {"_pydecimal.py", "_pyio.py", "pydoc_data/topics.py"}
"""Twins of what is compiled, and a manual."""
NOT_SHIPPED = (
    *("_ctypes_test", "_test", "_tkinter", "_xxtestfuzz", "xx"),
    *("_dbm", "_gdbm", "nis", "readline"),  # libraries under the GPL, and Kerberos
)
"""Extension modules that begin like this."""
KEPT_FILES = ("venv/scripts/common/*", "venv/scripts/posix/*")
"""What is no Python and is read all the same."""


def standard(source: str | None) -> bool:
    """Tell whether a module's file belongs to the standard library."""
    path = Path(source or "-")
    return path.is_relative_to(STDLIB) and not {"site-packages", "dist-packages"} & set(path.parts)


def sources() -> Iterator[Path]:
    """Yield every module that is shipped, relative to the standard library."""
    for path in sorted(STDLIB.rglob("*.py")):
        inside = path.relative_to(STDLIB)
        if LEFT_OUT & set(inside.parts) or inside.as_posix() in LEFT_OUT_PATHS:
            continue
        if inside.parts[0].startswith("config-"):
            continue
        yield inside


def extensions() -> list[tuple[str, str]]:
    """Return the extension modules that are shipped, as PyInstaller wants it: file, folder."""
    return [
        (str(path), str(LIBRARY / "lib-dynload"))
        for path in sorted(DYNLOAD.glob("*.so"))
        if not path.name.startswith(NOT_SHIPPED)
    ]


def compiled(source: Path, name: str) -> bytes:
    """Return what a `.pyc` holds, whatever the source's time and place; without docstrings.

    Its hash stands for the source, and nobody checks it: there is no source beside it.
    """
    content = source.read_bytes()
    code = compile(content, name, "exec", dont_inherit=True, optimize=2)
    flags = (0b01).to_bytes(4, "little")
    digest = importlib.util.source_hash(content)
    return importlib.util.MAGIC_NUMBER + flags + digest + marshal.dumps(code)


def lay_out(internal: Path, *, with_pip: bool) -> None:
    """Write the standard library and the interpreter into the frozen folder's `_internal`.

    `with_pip`: `ensurepip` finds what it installs, 3 MB that no compression makes smaller.
    """
    library = internal / LIBRARY
    for inside in sources():
        target = (library / inside).with_suffix(".pyc")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(compiled(STDLIB / inside, f"{LIBRARY.name}/{inside.as_posix()}"))
    for pattern in KEPT_FILES:
        for path in sorted(STDLIB.glob(pattern)):
            target = library / path.relative_to(STDLIB)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    if with_pip:
        bundled = library / "ensurepip" / "_bundled"
        bundled.mkdir(exist_ok=True)
        for path in wheels():
            shutil.copyfile(path, bundled / path.name)
    interpreter(internal)


def wheels() -> list[Path]:
    """Return what `ensurepip` installs; Debian keeps it elsewhere."""
    places = [
        STDLIB / "ensurepip" / "_bundled",
        Path(sysconfig.get_config_var("WHEEL_PKG_DIR") or "-"),
    ]
    found = [path for place in places for path in sorted(place.glob("*.whl"))]
    return [path for path in found if path.name.startswith(("pip-", "setuptools-"))]


def interpreter(internal: Path) -> None:
    """Compile the bare interpreter, which finds its libraries from where it stands."""
    target = internal / INTERPRETER
    target.parent.mkdir(parents=True, exist_ok=True)
    (shared,) = internal.glob("libpython3.*.so.*")
    up = "/".join([".."] * (len(INTERPRETER.parts) - 1))
    subprocess.run(
        [
            *("cc", "-O2", "-s", "-o", str(target), str(Path(__file__).with_name("interpreter.c"))),
            *(f"-I{sysconfig.get_path('include')}", f"-I{sysconfig.get_path('platinclude')}"),
            # Of the whole process: the libraries that its extension modules name are here as well.
            *("-Wl,--disable-new-dtags", f"-Wl,-rpath,$ORIGIN/{up}", "-Wl,--build-id=none"),
            str(shared),
        ],
        check=True,
    )
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for name in ("python", version):
        (target.parent / name).symlink_to(target.name)
