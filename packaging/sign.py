"""Sign a shipped file, or make a pair of keys.

`python sign.py FILE [--flavour full]` writes FILE.release.json, signed with the private key that
MNEDGE_SIGNING_KEY names (a PEM file); without one it says that the file stays unsigned.
`python sign.py --new-key PRIVATE_FILE` makes a pair, and prints the line for the pinned keys.
Run with an interpreter that has mnedge: its version, schema and engine revision are signed along.
"""

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from hashlib import file_digest
from pathlib import Path

VARIABLE = "MNEDGE_SIGNING_KEY"
SUFFIX = ".release.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was asked for; return the exit code."""
    asked = argparse.ArgumentParser(prog="sign.py", description=__doc__)
    asked.add_argument("file", type=Path, nargs="?", help="what is signed")
    asked.add_argument("--flavour", default="lean")
    asked.add_argument("--new-key", type=Path, metavar="PRIVATE_FILE", help="make a pair of keys")
    given = asked.parse_args(arguments)
    if given.new_key is not None:
        return new_key(given.new_key)
    if given.file is None:
        asked.error("name a file, or --new-key PRIVATE_FILE")
    key = os.environ.get(VARIABLE)
    if not key:
        given.file.with_name(given.file.name + SUFFIX).unlink(missing_ok=True)
        print(f"sign: {given.file.name} stays unsigned: {VARIABLE} names no key")
        return 0
    return sign(given.file, given.flavour, Path(key))


def new_key(private: Path) -> int:
    """Make a pair: the private key into a new file that only its owner reads."""
    from mnedge.updates.envelope import new_key as made

    pem, public = made()
    try:
        file = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(f"sign: {private} is there already; keys are never replaced", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"sign: {private}: {error.strerror}", file=sys.stderr)
        return 1
    with open(file, "wb") as target:
        target.write(pem)
    print(f"sign: the private key is in {private}; whoever has it signs releases: keep it safe")
    print("sign: a line for mnedge/updates/release_keys.txt, or `updates.keys`:")
    print(public)
    return 0


def sign(file: Path, flavour: str, key: Path) -> int:
    """Write the envelope beside the file."""
    import mnedge
    from mnedge.engine.compile import CURRENT_REVISION
    from mnedge.store.schema import NEWEST
    from mnedge.updates.envelope import KeyInvalidError, Release, sealed

    try:
        pem = key.read_bytes()
    except OSError as error:
        print(f"sign: {VARIABLE}: {key}: {error.strerror}", file=sys.stderr)
        return 1
    try:
        with file.open("rb") as content:
            digest = file_digest(content, "sha256").hexdigest()
    except OSError as error:
        print(f"sign: {file}: {error.strerror}", file=sys.stderr)
        return 1
    release = Release(
        name="mnedge",
        version=mnedge.__version__,
        flavour=flavour,
        platform=f"linux-{platform.machine()}",
        file=file.name,
        size=file.stat().st_size,
        sha256=digest,
        schema=NEWEST,
        engine_revision=CURRENT_REVISION,
        source_date_epoch=int(os.environ.get("SOURCE_DATE_EPOCH", "0")),
    )
    try:
        envelope = sealed(release, pem)
    except KeyInvalidError as error:
        print(f"sign: {VARIABLE}: {key}: {error.message}; {error.hint}", file=sys.stderr)
        return 1
    file.with_name(file.name + SUFFIX).write_bytes(envelope)
    print(f"sign: {file.name}{SUFFIX}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
