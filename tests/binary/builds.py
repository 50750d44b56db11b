"""Other builds of the one file, made from it in seconds: newer ones that work, and bad ones."""

import gzip
import json
import platform
import re
import zlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from mnedge.updates.envelope import SUFFIX, Release, sealed

_OFFSET = re.compile(rb"tail -c \+(\d{8}) ")
_KEY = re.compile(rb"^_mnedge_key=([0-9a-f]{16})$", re.MULTILINE)
_PACKED = re.compile(rb"\x78[\x01\x5e\x9c\xda]")
OWN_MODULE = b"mnedge/__init__.py"

BAD = """#!/bin/sh
# A program that passes its examination, and serves badly.
case "$*" in
--version) echo "mnedge {version}" ;;
"update --describe") echo '{described}' ;;
selftest) exit {selftest} ;;
daemon*) {daemon} ;;
*) exit 9 ;;
esac
"""
DAEMONS = {
    "crashes": "exec false",
    "crashes later": "sleep 0.5; exit 1",
    "gives up": "exit 2",
    "is silent": "exec sleep 600",
    "lies": 'exec {old} "$@"',
}


def newer(file: Path, target: Path, version: str) -> Path:
    """Write the same program under another version; as many characters as its own."""
    content = file.read_bytes()
    offset = int(_found(_OFFSET, content)) - 1
    stub, payload = content[:offset], gzip.decompress(content[offset:])
    own = re.escape(described(file)["version"]).encode()
    assert len(version) == len(described(file)["version"])
    payload = _in_own_module(payload, own, version.encode())
    packed = gzip.compress(payload, 1, mtime=0)
    key = sha256(packed).hexdigest()[:16].encode()
    target.write_bytes(stub.replace(_found(_KEY, stub), key) + packed)
    target.chmod(0o755)
    return target


def bad(
    file: Path, target: Path, version: str, does: str, old: str = "", selftest: int = 0
) -> Path:
    """Write a program that says what it should until it is the daemon."""
    told = json.dumps(described(file) | {"version": version})
    daemon = DAEMONS[does].format(old=old)
    target.write_text(BAD.format(version=version, described=told, selftest=selftest, daemon=daemon))
    target.chmod(0o755)
    return target


def signed(target: Path, pem: bytes, like: Path, version: str, **changed: object) -> Path:
    """Write the statement beside a program."""
    told = described(like)
    release = Release(
        **{
            "name": "mnedge",
            "version": version,
            "flavour": told["flavour"],
            "platform": f"linux-{platform.machine()}",
            "file": target.name,
            "size": target.stat().st_size,
            "sha256": sha256(target.read_bytes()).hexdigest(),
            "schema": told["schema"],
            "engine_revision": told["engine_revision"],
        }
        | changed
    )
    target.with_name(target.name + SUFFIX).write_bytes(sealed(release, pem))
    return target


_descriptions: dict[Path, dict] = {}


def described(file: Path) -> dict:
    """Return what the one file says of itself."""
    import subprocess

    if file not in _descriptions:
        done = subprocess.run([file, "update", "--describe"], capture_output=True, check=True)
        _descriptions[file] = json.loads(done.stdout)
    return _descriptions[file]


def _in_own_module(payload: bytes, own: bytes, version: bytes) -> bytes:
    """Change the version where the module `mnedge` is packed, without changing its length."""
    for begin, module, end in _modules(payload):
        if OWN_MODULE in module and re.search(own, module):
            changed = zlib.compress(re.sub(own, version, module), 0)
            assert len(changed) == end - begin, "the archive inside is compressed"
            return payload[:begin] + changed + payload[end:]
    raise AssertionError("there is no module mnedge inside")


def _modules(payload: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield what looks like a small packed module: where it begins, what it holds, its end."""
    near = 4096
    for found in re.finditer(OWN_MODULE, payload):
        for begin in _PACKED.finditer(payload, max(0, found.start() - near), found.start()):
            unpacking = zlib.decompressobj()
            piece = payload[begin.start() : found.start() + near]
            try:
                module = unpacking.decompress(piece)
            except zlib.error:
                continue
            if unpacking.eof:
                yield begin.start(), module, begin.start() + len(piece) - len(unpacking.unused_data)


def _found(pattern: re.Pattern[bytes], content: bytes) -> bytes:
    found = pattern.search(content)
    assert found, pattern
    return found[1]
