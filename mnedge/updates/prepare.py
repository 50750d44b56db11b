"""All of an update that changes nothing for the node that runs: checked, fetched, placed, tried."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from msgspec import Struct

from mnedge import faults
from mnedge.config.layout import Layout, release_id
from mnedge.durable import sha256_of, switch, to_disk, write_whole
from mnedge.errors import ConflictError, MnedgeError
from mnedge.updates import trial as trials
from mnedge.updates.envelope import Release, opened
from mnedge.updates.machine import Machine, ProgramBadError
from mnedge.updates.offer import Build, Standing, require_room, warnings, weighed
from mnedge.updates.releases import (
    INCOMING,
    PROGRAM,
    STATEMENT,
    key_of,
    led_to,
    program_of,
    prune,
    target_of,
)
from mnedge.updates.source import fetch, statement
from mnedge.updates.trial import Party, Trial

LOCK = "update.lock"

Tell = Callable[[str], None]


class UnderWayError(ConflictError):
    """An update is under way."""

    code = "update.under_way"


class Node(Struct, frozen=True, kw_only=True):
    """What the configuration says that an update needs."""

    data_dir: str
    socket: str
    health_timeout_s: float = 60.0
    settle_s: float = 10.0


class Offer(Struct, frozen=True, kw_only=True):
    """A signed release that may take the place of what runs."""

    where: str
    release: Release
    standing: Standing
    statement: bytes
    warnings: list[str] = []

    @property
    def id(self) -> str:
        """Return the name of its folder."""
        return release_id(self.release.version, self.release.sha256)


def offered(
    where: str,
    keys: Mapping[str, bytes],
    have: Build,
    have_sha256: str,
    *,
    allow_downgrade: bool,
    machine: Machine,
) -> Offer:
    """Return what a pinned key has signed, if it fits here; the file itself is not read.

    Raises: whatever speaks against it.
    """
    content = statement(where, machine.wait)
    release = opened(content, keys)
    standing = weighed(have, have_sha256, release, allow_downgrade=allow_downgrade)
    return Offer(
        where=where,
        release=release,
        standing=standing,
        statement=content,
        warnings=warnings(have, release),
    )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the only one who updates, installs or uninstalls.

    Raises: UnderWayError.
    """
    number = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UnderWayError(
                "an update is under way", hint="mnedge update --status shows it; wait for its end"
            ) from error
        yield
    finally:
        os.close(number)


def placed(layout: Layout, machine: Machine, offer: Offer, tell: Tell) -> Party:
    """Have the release beside the one that runs, unpacked, and seen to work.

    Raises: NoRoomError; ProgramBadError; what `fetch` raises. What it brought is gone then, but
    for the part of a file that was fetched over a line that broke.
    """
    release = offer.release
    program = program_of(layout, offer.id)
    if not program.is_file() or sha256_of(program) != release.sha256:
        require_room(release.size, free_bytes(layout.home), str(layout.home))
        _bring(layout, machine, offer, tell)
    faults.hit("update.placed")
    try:
        tell("it is unpacked, and runs its self-test")
        return tried(machine, program, offer)
    except ProgramBadError:
        prune(layout, (led_to(layout.current), led_to(layout.previous)))
        raise


def tried(machine: Machine, program: Path, offer: Offer) -> Party:
    """Return the program that a file is, once it was seen to work here.

    Raises: ProgramBadError.
    """
    release = offer.release
    if (told := machine.unpack(program)) != release.version:
        raise ProgramBadError(f"it says that it is {told}, and was signed as {release.version}")
    build = machine.described(program)
    signed = (release.version, release.flavour, release.schema, release.engine_revision)
    if (build.version, build.flavour, build.schema, build.engine_revision) != signed:
        raise ProgramBadError(f"what it says of itself is not what was signed: {build}")
    machine.try_out(program)
    return party_of(offer.id, build, program)


def begun(layout: Layout, machine: Machine, node: Node, old: Party, new: Party) -> Trial:
    """Write the trial down; from here on whoever finds it carries it to its end."""
    seen = machine.seen(node.socket)
    trial = Trial(
        token=token_hex(8),
        old=old,
        new=new,
        data_dir=node.data_dir,
        socket=node.socket,
        runs=machine.runs(node.socket),
        boot_id=machine.boot_id(),
        before=led_to(layout.previous),
        status_before=seen.status or "ok",
        began_at=machine.now(),
        health_timeout_s=node.health_timeout_s,
        settle_s=node.settle_s,
    )
    # The old program carries the trial, and is found by this name.
    switch(layout.previous, target_of(old.release))
    trials.write_trial(layout, trial)
    faults.hit("update.ready")
    return trial


def party_of(release: str, build: Build, program: Path) -> Party:
    """Return one side of a trial."""
    return Party(
        release=release,
        version=build.version,
        schema=build.schema,
        engine_revision=build.engine_revision,
        key=key_of(program),
    )


def free_bytes(folder: Path) -> int:
    """Return how much may still be written there."""
    told = os.statvfs(folder)
    return told.f_bavail * told.f_frsize


def _bring(layout: Layout, machine: Machine, offer: Offer, tell: Tell) -> None:
    incoming = layout.releases / f"{INCOMING}{offer.id}"
    incoming.mkdir(mode=0o755, parents=True, exist_ok=True)
    tell(f"mnedge {offer.release.version} comes from {offer.where}")
    try:
        fetch(offer.where, offer.release, incoming / PROGRAM, pause=machine.wait)
    except MnedgeError:
        with suppress(OSError):  # unless it holds the part of a file that came over a line
            incoming.rmdir()
        raise
    write_whole(incoming / STATEMENT, offer.statement)
    faults.hit("update.fetched")
    place = layout.releases / offer.id
    if place.exists():  # what stood there was not what was signed
        shutil.rmtree(place)
    incoming.rename(place)
    to_disk(layout.releases)
