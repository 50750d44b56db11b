"""A one file that nobody installed: it is replaced where it stands, and kept as `FILE.old`."""

import os
import shutil
from pathlib import Path

from mnedge import faults
from mnedge.durable import to_disk
from mnedge.errors import NotAllowedError, NotFoundError
from mnedge.updates.machine import Machine
from mnedge.updates.offer import require_room
from mnedge.updates.prepare import Offer, Tell, free_bytes, tried
from mnedge.updates.releases import forget, key_of
from mnedge.updates.source import fetch

OLD = ".old"
NEW = ".new"


class NotOursError(NotAllowedError):
    """The file, or its folder, is not ours to change."""

    code = "update.not_ours"


class NothingBeforeError(NotFoundError):
    """There is nothing to go back to."""

    code = "update.nothing_before"


def old_of(file: Path) -> Path:
    """Return where the file before this one is kept."""
    return file.with_name(file.name + OLD)


def replaced(
    file: Path, offer: Offer, machine: Machine, tell: Tell, runtime: Path | None = None
) -> None:
    """Put the release into the place of the file, if it works here; the file is there throughout.

    `runtime`: where such files unpack themselves; what the one before `FILE.old` left there goes.

    Raises: NotOursError; NoRoomError; ProgramBadError; what `fetch` raises.
    """
    _require_ours(file)
    require_room(offer.release.size, free_bytes(file.parent), str(file.parent))
    new = file.with_name(f".{file.name}{NEW}")
    tell(f"mnedge {offer.release.version} comes from {offer.where}")
    fetch(offer.where, offer.release, new, pause=machine.wait)
    faults.hit("update.fetched")
    forgotten = key_of(old_of(file))
    try:
        tell("it runs its self-test")
        tried(machine, new, offer)
        _keep(file)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
    to_disk(file.parent)
    if runtime is not None and forgotten not in (key_of(file), key_of(old_of(file))):
        forget(runtime, forgotten)


def returned(file: Path) -> None:
    """Put the file before this one back, and keep this one in its place.

    Raises: NothingBeforeError; NotOursError.
    """
    _require_ours(file)
    old, aside = old_of(file), file.with_name(f".{file.name}.aside")
    if not old.is_file():
        raise NothingBeforeError(
            f"there is no {old}, so nothing to go back to",
            hint="take the older release again: mnedge update FILE --allow-downgrade",
        )
    _twin(file, aside)
    old.replace(file)
    aside.replace(old)
    to_disk(file.parent)


def _keep(file: Path) -> None:
    aside = file.with_name(f".{file.name}.aside")
    _twin(file, aside)
    aside.replace(old_of(file))


def _twin(file: Path, other: Path) -> None:
    """Have the file under another name too."""
    other.unlink(missing_ok=True)
    try:
        os.link(file, other)
    except OSError:  # some file systems have no links
        shutil.copy2(file, other)


def _require_ours(file: Path) -> None:
    if not os.access(file.parent, os.W_OK):
        raise NotOursError(f"{file.parent} cannot be written by us", hint="run it again with sudo")
