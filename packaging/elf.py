"""Shared libraries and programs: stripped, and without the folders of the machine that built."""

import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

MAGIC = b"\x7fELF\x02\x01"
"""64 bits, little endian: x86_64 and aarch64."""
LOAD, DYNAMIC = 1, 2
END, STRINGS, RPATH, RUNPATH = 0, 5, 15, 29


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


def forget_build_paths(path: Path) -> bool:
    """Remove a search path that names absolute folders; tell whether there was one.

    The loader would look into such a folder of the target first, whoever owns it there. Without
    it, the libraries beside the executable are found through the one that loads them.
    """
    content = bytearray(path.read_bytes())
    (table,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    headers = [struct.unpack_from("<IIQQQQQQ", content, table + size * i) for i in range(count)]
    dynamic = next((header for header in headers if header[0] == DYNAMIC), None)
    if dynamic is None:
        return False
    offset, length = dynamic[2], dynamic[5]
    entries = [struct.unpack_from("<QQ", content, offset + at) for at in range(0, length, 16)]
    address = next(value for tag, value in entries if tag == STRINGS)
    strings = next(
        address - header[3] + header[2]
        for header in headers
        if header[0] == LOAD and header[3] <= address < header[3] + header[5]
    )

    def absolute(tag: int, value: int) -> bool:
        if tag not in (RPATH, RUNPATH):
            return False
        text = bytes(content[strings + value : content.index(0, strings + value)])
        return not all(part.startswith(b"$ORIGIN") for part in text.split(b":"))

    gone = [(tag, value) for tag, value in entries if absolute(tag, value)]
    if not gone:
        return False
    kept = [entry for entry in entries if entry not in gone]
    kept += [(END, 0)] * len(gone)
    for at, entry in enumerate(kept):
        struct.pack_into("<QQ", content, offset + 16 * at, *entry)
    for _, value in gone:
        start = strings + value
        end = content.index(0, start)
        content[start:end] = bytes(end - start)
    path.write_bytes(content)
    return True
