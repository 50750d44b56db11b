"""The oldest C library that a frozen folder runs with: what its files ask the loader for.

Read from the files themselves (`DT_VERNEED`), as the loader does.
"""

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import elf

LOAD, DYNAMIC = 1, 2
NEEDED_VERSIONS, HOW_MANY, STRINGS = 0x6FFFFFFE, 0x6FFFFFFF, 5
_GLIBC = re.compile(r"GLIBC_(\d+(?:\.\d+)+)$")

Version = tuple[int, ...]


def of(folder: Path) -> Version:
    """Return the newest version of glibc that any file of the folder needs."""
    return max((of_file(path) for path in elf.programs_and_libraries(folder)), default=())


def of_file(path: Path) -> Version:
    """Return the newest version of glibc that this file needs; () if it needs none."""
    wanted = (_GLIBC.match(name) for name in needed(path.read_bytes()))
    return max((tuple(map(int, found[1].split("."))) for found in wanted if found), default=())


def text(version: Version) -> str:
    """Return it as people write it: `2.35`."""
    return ".".join(map(str, version))


def needed(content: bytes) -> Iterator[str]:
    """Yield the versions of other libraries' symbols that an ELF file asks for."""
    (table,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    headers = [struct.unpack_from("<IIQQQQQQ", content, table + size * i) for i in range(count)]
    dynamic = next((header for header in headers if header[0] == DYNAMIC), None)
    if dynamic is None:
        return
    entries = dict(struct.iter_unpack("<QQ", content[dynamic[2] : dynamic[2] + dynamic[5]]))
    if NEEDED_VERSIONS not in entries:
        return

    def offset(address: int) -> int:
        header = next(
            h for h in headers if h[0] == LOAD and h[3] <= address < h[3] + h[5]
        )  # fmt: skip
        return int(address - header[3] + header[2])

    strings, at = offset(entries[STRINGS]), offset(entries[NEEDED_VERSIONS])
    for _ in range(entries[HOW_MANY]):
        _, versions, _, first, following = struct.unpack_from("<HHIII", content, at)
        inner = at + first
        for _ in range(versions):
            _, _, _, name, step = struct.unpack_from("<IHHII", content, inner)
            start = strings + name
            yield content[start : content.index(0, start)].decode()
            inner += step
        at += following
