"""The last hand on the frozen folder: `python finish.py FOLDER FLAVOUR`."""

import sys
from pathlib import Path

import elf
import standard_library

NEVER_STRIPPED = ("numpy", "numpy.libs", "llvmlite", "llvmlite.libs", "numba")
"""It breaks them."""


def main(folder: Path, flavour: str) -> None:
    """Bring the standard library, strip, forget the build's machine."""
    internal = folder / "_internal"
    standard_library.lay_out(internal, with_pip=flavour == "full")
    before = after = 0
    for path in elf.programs_and_libraries(folder):
        before += path.stat().st_size
        if path.parent == folder:  # the executable, which carries all modules in a section
            elf.search_in(path, "$ORIGIN/_internal")  # zlib, on a box that has none
            continue
        if path.relative_to(internal).parts[0] in NEVER_STRIPPED:
            continue
        elf.strip(path)
        elf.forget_build_paths(path)
        after += path.stat().st_size
    print(f"finish: libraries {before / 1e6:.1f} MB, stripped {after / 1e6:.1f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
