"""Whether a signed release may take the place of the program that runs here.

Pure, but for what this program says of itself.
"""

import importlib.util
import platform
from typing import Literal

from msgspec import Struct
from packaging.version import InvalidVersion, Version

import mnedge
from mnedge.engine.compile import CURRENT_REVISION
from mnedge.errors import ConflictError, UnavailableError, UsageError
from mnedge.store.schema import NEWEST
from mnedge.updates.envelope import Release

NAME = "mnedge"
UNPACKED_TIMES = 4
"""What the one file holds is packed; unpacked it takes less than so many times its size."""
SPARE_BYTES = 64 << 20
"""What must be left besides: a node on a full disk is not well."""

Standing = Literal["newer", "same", "rebuilt", "older"]
"""`rebuilt`: the same version, other content."""


class Build(Struct, frozen=True, kw_only=True):
    """What a program says of itself."""

    name: str = NAME
    version: str
    flavour: str
    platform: str
    schema: int
    engine_revision: int


class ReleaseUnfitError(UsageError):
    """The release is made for another machine or another flavour."""

    code = "update.unfit"


class DowngradeError(ConflictError):
    """The release is older than what runs, and nobody said that this is meant."""

    code = "update.downgrade"


class SchemaBehindError(ConflictError):
    """The older program cannot read the data any more."""

    code = "update.schema_behind"


class NoRoomError(UnavailableError):
    """The disk has no room for another release."""

    code = "update.no_room"


def this_build() -> Build:
    """Return what this very program is."""
    return Build(
        version=mnedge.__version__,
        flavour="full" if importlib.util.find_spec("numba") else "lean",
        platform=f"linux-{platform.machine()}",
        schema=NEWEST,
        engine_revision=CURRENT_REVISION,
    )


def weighed(
    have: Build, have_sha256: str, release: Release, *, allow_downgrade: bool = False
) -> Standing:
    """Return how the release stands to what runs here, if it may take its place.

    Raises: ReleaseUnfitError; DowngradeError; SchemaBehindError.
    """
    if release.name != have.name:
        raise ReleaseUnfitError(
            f"this is a release of {release.name!r}, not of {have.name}",
            hint=f"name a release of {have.name}",
        )
    if release.platform != have.platform:
        raise ReleaseUnfitError(
            f"this release is for {release.platform}, and this machine is {have.platform}",
            hint=f"take the file for {have.platform}",
        )
    if release.flavour != have.flavour:
        raise ReleaseUnfitError(
            f"this release is {release.flavour}, and what runs here is {have.flavour}",
            hint=f"take the {have.flavour} file; to change the flavour: "
            "`./FILE install --replace`, which checks nothing",
        )
    standing = _standing(have, have_sha256, release)
    if release.schema < have.schema:
        raise SchemaBehindError(
            f"{release.version} reads data up to schema {release.schema}, "
            f"and the data here have schema {have.schema}",
            hint="restore a backup that the older version made",
            details={"schema": have.schema, "readable": release.schema},
        )
    if standing == "older" and not allow_downgrade:
        raise DowngradeError(
            f"{release.version} is older than {have.version}, which runs here",
            hint="--allow-downgrade if that is meant",
            details={"version": release.version, "running": have.version},
        )
    return standing


def warnings(have: Build, release: Release) -> list[str]:
    """Return what a person should know before it is done."""
    if release.engine_revision < have.engine_revision:
        return [
            f"jobs that began with engine revision {have.engine_revision} wait until a program "
            f"that knows it is back ({release.version} knows up to {release.engine_revision})"
        ]
    return []


def needed_bytes(size: int) -> int:
    """Return how much room a one file of that size needs, beside what is there already."""
    return size * (1 + UNPACKED_TIMES) + SPARE_BYTES


def require_room(size: int, free_bytes: int, where: str) -> None:
    """Refuse to begin what would fill the disk.

    Raises: NoRoomError.
    """
    needed = needed_bytes(size)
    if free_bytes < needed:
        raise NoRoomError(
            f"{where} has {free_bytes >> 20} MiB free; the update needs {needed >> 20} MiB",
            hint="free some: mnedge job list; du -sh /var/lib/mnedge /opt/mnedge",
            details={"free_bytes": free_bytes, "needed_bytes": needed},
        )


def version_of(text: str) -> Version:
    """Return a version that can be compared.

    Raises: ReleaseUnfitError.
    """
    try:
        return Version(text)
    except InvalidVersion as error:
        raise ReleaseUnfitError(
            f"{text!r} is no version", hint="ask the publisher for a release that names one"
        ) from error


def _standing(have: Build, have_sha256: str, release: Release) -> Standing:
    ours, theirs = version_of(have.version), version_of(release.version)
    if theirs == ours:
        return "same" if release.sha256 == have_sha256 else "rebuilt"
    return "newer" if theirs > ours else "older"
