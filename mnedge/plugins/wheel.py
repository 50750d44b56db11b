"""Distributions as wheels and folders hold them: read, and judged. Nothing in them is run.

A wheel is somebody else's archive, so nothing it says is believed before it was checked: names,
sizes, hashes. Source: the wheel format (PEP 427), RECORD (PEP 376), metadata (PEP 566).
"""

import configparser
import csv
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from mnedge.plugins.archive import (
    BROKEN,
    Archive,
    Contents,
    Entry,
    Folder,
    entry_problems,
    nested_problems,
    record_rows,
)
from mnedge.plugins.depot import Point
from mnedge.plugins.loading import GROUP
from mnedge.plugins.problem import PluginRefusedError, Problem, refused

MOST_METADATA_BYTES = 1 << 20
MOST_VERSION = 64
HASHES = ("sha256", "sha384", "sha512")
UNLISTED = ("RECORD", "RECORD.jws", "RECORD.p7s")
"""Files of the metadata folder that RECORD need not list."""
INTO_SITE = ("purelib", "platlib")
LEFT_OUT = ("scripts", "headers", "data")
"""Parts of a wheel for other places of a system; a plugin is only imported."""
RUN_BY_PYTHON = frozenset({"sitecustomize.py", "usercustomize.py"})


class Listed(NamedTuple):
    """What RECORD says of a file."""

    algorithm: str
    digest: str
    size_bytes: int | None


class Metadata(Struct, frozen=True, kw_only=True):
    """What a distribution says of itself."""

    name: str
    """Normalised: `acme-runner`."""
    version: str
    summary: str = ""
    author: str = ""
    license: str = ""
    home_page: str = ""
    requires: tuple[str, ...] = ()
    requires_python: str = ""


class Distribution(Struct, frozen=True, kw_only=True):
    """A distribution that was judged, its hashes not yet: `unpack` compares them."""

    contents: Contents
    metadata: Metadata
    tags: tuple[str, ...]
    """`cp311-abi3-manylinux_2_17_x86_64`, …"""
    entry_points: tuple[Point, ...]
    tops: tuple[str, ...]
    """What can be imported once it is on the path: first names of modules and packages."""
    namespaces: tuple[str, ...]
    """Those of `tops` that are packages without a file of their own, which others may share."""
    places: dict[str, str]
    """Path inside → path below the folder it is unpacked to."""
    listed: dict[str, Listed]
    left_out: tuple[str, ...] = ()
    """Paths inside that have no place in a plugin: scripts, headers, compiled caches."""

    @property
    def label(self) -> str:
        """Name and version."""
        return f"{self.metadata.name} {self.metadata.version}"


def read_wheel(path: Path) -> Distribution:
    """Return a wheel file that was judged; its archive stays open until the process ends.

    Raises: PluginRefusedError with all that is wrong.
    """
    try:
        name, version, _, tags = parse_wheel_filename(path.name)
    except (InvalidWheelFilename, InvalidVersion) as error:
        raise PluginRefusedError(
            f"{path.name} is no wheel",
            [Problem(message=f"{error}", hint="keep the name that the file was published under")],
        ) from error
    try:
        archive = Archive(path)
    except BROKEN as error:
        raise refused(path.name, [Problem(message=f"it is no archive: {error}")]) from error
    try:
        found = [*archive.archive_problems()]
        named = (str(name), str(version))
        return _judged(archive, found, named, tuple(sorted(str(tag) for tag in tags)))
    except (*BROKEN, OSError) as error:
        archive.close()
        raise refused(path.name, [Problem(message=f"it cannot be read: {error}")]) from error
    except PluginRefusedError:
        archive.close()
        raise


def read_folder(path: Path) -> list[Distribution]:
    """Return the distributions in a folder: wheels, or what `pip install --target` leaves.

    Raises: PluginRefusedError with all that is wrong.
    """
    wheels = sorted(path.glob("*.whl"))
    if wheels:
        return [read_wheel(wheel) for wheel in wheels]
    found = sorted(folder.name for folder in path.glob("*.dist-info") if folder.is_dir())
    if not found:
        source = any((path / name).exists() for name in ("pyproject.toml", "setup.py"))
        hint = "make a wheel of it first: pip wheel --no-deps DIR" if source else ""
        raise PluginRefusedError(
            f"{path} holds no plugin",
            [Problem(message="there is neither a wheel nor a *.dist-info folder in it", hint=hint)],
        )
    return [_read_unpacked(path, name) for name in found]


def _read_unpacked(path: Path, metadata_folder: str) -> Distribution:
    if not (path / metadata_folder / "RECORD").is_file():
        told = Problem(
            message=f"{metadata_folder}/RECORD is missing: nothing can be compared",
            hint="give the wheel, or what pip install --target made of it",
        )
        raise refused(path.name, [told])
    try:
        folder = Folder(path, metadata_folder)
        return _judged(folder, [], None, None, metadata_folder=metadata_folder)
    except (*BROKEN, OSError) as error:
        raise refused(path.name, [Problem(message=f"it cannot be read: {error}")]) from error


def _judged(
    contents: Contents,
    found: list[Problem],
    named: tuple[str, str] | None,
    tags: tuple[str, ...] | None,
    *,
    metadata_folder: str = "",
) -> Distribution:
    """Return the distribution; everything is looked at before anything is refused."""
    entries = [*contents.entries()]
    found += entry_problems(entries)
    if found:  # names and sizes are not to be trusted: nothing is read
        raise refused(contents.name, found)
    paths = {entry.path: entry for entry in entries}
    folder = metadata_folder or _metadata_folder(contents.name, paths)
    metadata = _metadata(contents, folder, paths)
    if named is not None and (metadata.name, metadata.version) != named:
        told = f"its file says {' '.join(named)}, inside it is {metadata.name} {metadata.version}"
        found.append(Problem(message=told))
    wheel = _headers(contents, f"{folder}/WHEEL", paths)
    wheel_version = str(wheel.get("Wheel-Version", ""))
    if wheel_version.partition(".")[0] != "1":
        found.append(Problem(message=f"Wheel-Version is {wheel_version!r}, known is 1.x"))
    inside_tags = _spread(str(tag) for tag in wheel.get_all("Tag") or ())
    listed = _listed(contents, folder, paths, found)
    places, left_out = _places(paths, folder, found)
    found += _site_problems(places)
    tops, namespaces = _tops(places.values())
    if found:
        raise refused(f"{metadata.name} {metadata.version}", found)
    return Distribution(
        contents=contents,
        metadata=metadata,
        tags=tags if tags is not None else inside_tags,
        entry_points=_entry_points(contents, folder, paths),
        tops=tops,
        namespaces=namespaces,
        places=places,
        listed=listed,
        left_out=left_out,
    )


def _metadata_folder(name: str, paths: Iterable[str]) -> str:
    folders = {path.partition("/")[0] for path in paths if "/" in path}
    found = sorted(folder for folder in folders if folder.endswith(".dist-info"))
    if len(found) != 1:
        raise refused(name, [Problem(message=f"it has {len(found)} *.dist-info folders, not one")])
    return found[0]


def _headers(contents: Contents, path: str, paths: dict[str, Entry]) -> "Message[str, str]":
    return HeaderParser().parsestr(_text(contents, path, paths))


def _text(contents: Contents, path: str, paths: dict[str, Entry]) -> str:
    entry = paths.get(path)
    if entry is None:
        raise refused(contents.name, [Problem(message=f"{path} is missing")])
    if entry.size_bytes > MOST_METADATA_BYTES:
        raise refused(contents.name, [Problem(message=f"{path} is too large")])
    with contents.open(path) as file:
        return file.read(MOST_METADATA_BYTES).decode("utf-8", "replace")


def _metadata(contents: Contents, folder: str, paths: dict[str, Entry]) -> Metadata:
    said = _headers(contents, f"{folder}/METADATA", paths)

    def one(*names: str) -> str:
        return next((str(v).strip() for name in names if (v := said.get(name, ""))), "")

    name, text = one("Name"), one("Version")
    try:
        version = str(Version(text))
        if len(version) > MOST_VERSION:
            raise InvalidVersion(version)
    except InvalidVersion:
        raise refused(contents.name, [Problem(message=f"its version is {text[:80]!r}")]) from None
    normal = str(canonicalize_name(name))
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", normal) or len(normal) > 100:
        raise refused(contents.name, [Problem(message=f"its name is {name!r}")])
    inside = folder.removesuffix(".dist-info").rpartition("-")
    with suppress(InvalidVersion):
        if (str(canonicalize_name(inside[0])), str(Version(inside[2]))) == (normal, version):
            return Metadata(
                name=normal,
                version=version,
                summary=one("Summary")[:300],
                author=one("Author", "Author-email", "Maintainer", "Maintainer-email")[:300],
                license=one("License-Expression", "License").partition("\n")[0][:300],
                home_page=one("Home-page", "Project-URL")[:300],
                requires=tuple(str(line) for line in said.get_all("Requires-Dist") or ()),
                requires_python=one("Requires-Python"),
            )
    told = Problem(message=f"{folder} belongs to another distribution than {normal} {version}")
    raise refused(contents.name, [told])


def _spread(tags: Iterable[str]) -> tuple[str, ...]:
    """Return single tags: `py2.py3-none-any` stands for two."""
    found = set()
    for tag in tags:
        parts = tag.split("-")
        if len(parts) == 3:
            pythons, abis, platforms = (part.split(".") for part in parts)
            found |= {f"{p}-{a}-{m}" for p in pythons for a in abis for m in platforms}
    return tuple(sorted(found))


def _listed(
    contents: Contents, folder: str, paths: dict[str, Entry], found: list[Problem]
) -> dict[str, Listed]:
    """Return what RECORD says of each file, and note what it leaves out or cannot be."""
    if f"{folder}/RECORD" not in paths:
        found.append(Problem(message=f"{folder}/RECORD is missing: nothing can be compared"))
        return {}
    listed: dict[str, Listed] = {}
    try:
        rows = [*record_rows(contents, folder)]
    except csv.Error as error:
        found.append(Problem(message=f"{folder}/RECORD cannot be read: {error}"))
        return {}
    for row in rows:
        path, hashed, size = (*row, "", "")[:3]
        algorithm, _, digest = hashed.partition("=")
        if path in listed:
            found.append(Problem(message=f"RECORD lists {path} twice"))
        if algorithm:
            known = int(size) if size.isascii() and size.isdecimal() else None
            listed[path] = Listed(algorithm, digest, known)
    unlisted = {f"{folder}/{name}" for name in UNLISTED}
    for path in paths:
        if path in unlisted or is_cache(path):
            continue
        if path not in listed:
            found.append(Problem(message=f"{path} is not listed in RECORD with a hash"))
        elif listed[path].algorithm not in HASHES:
            told = f"{path} is listed with {listed[path].algorithm}, which proves nothing"
            found.append(Problem(message=told))
    for path in listed.keys() - paths.keys():
        outside = path.startswith("../") or os.path.isabs(path)
        if not outside and not is_cache(path):
            found.append(Problem(message=f"{path} is listed in RECORD and not there"))
    return listed


def is_cache(path: str) -> bool:
    """Tell whether Python compiled it, and would again."""
    return "__pycache__" in path.split("/")


def _places(
    paths: Iterable[str], folder: str, found: list[Problem]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return where each file goes, and what is left out."""
    elsewhere = folder.removesuffix(".dist-info") + ".data/"
    places: dict[str, str] = {}
    taken: set[str] = set()
    left_out = []
    for path in paths:
        place = path
        if path.startswith(elsewhere):
            scheme, _, place = path.removeprefix(elsewhere).partition("/")
            if scheme in LEFT_OUT:
                left_out.append(path)
                continue
            if scheme not in INTO_SITE or not place:
                found.append(Problem(message=f"{path} is for a place that wheels do not know"))
                continue
        if is_cache(place):
            left_out.append(path)
            continue
        top = place.partition("/")[0]
        if top.endswith(".dist-info") and top != folder:
            found.append(Problem(message=f"{path} speaks for another distribution"))
        if place in taken:
            found.append(Problem(message=f"two files in it are both for {place}"))
        taken.add(place)
        places[path] = place
    found += nested_problems(taken)
    return places, tuple(sorted(left_out))


def _site_problems(places: dict[str, str]) -> Iterator[Problem]:
    """Yield what Python would run or follow by itself, just because it lies there."""
    for place in places.values():
        is_top = "/" not in place
        if is_top and place.endswith((".pth", ".egg-link")):
            yield Problem(
                message=f"{place} changes where Python looks for modules",
                hint="a plugin is imported by its entry points only",
            )
        if is_top and place in RUN_BY_PYTHON:
            yield Problem(message=f"{place} would be run by every Python that finds it")


def _tops(places: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return first names that can be imported, and those of them without a file of their own."""
    found: dict[str, bool] = {}
    for place in places:
        first, slash, rest = place.partition("/")
        if first.endswith((".dist-info", ".data", ".libs")):
            continue
        if slash:
            if first.isidentifier() and place.endswith((".py", ".so", ".pyc", ".pyi")):
                found[first] = found.get(first, False) or rest.split(".")[0] == "__init__"
        elif first.endswith((".py", ".so", ".pyc")):
            name = first.partition(".")[0]
            if name.isidentifier():
                found[name] = True
    return tuple(sorted(found)), tuple(sorted(name for name, whole in found.items() if not whole))


def _entry_points(contents: Contents, folder: str, paths: dict[str, Entry]) -> tuple[Point, ...]:
    path = f"{folder}/entry_points.txt"
    if path not in paths:
        return ()
    reader = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    reader.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    try:
        reader.read_string(_text(contents, path, paths))
    except configparser.Error as error:
        raise refused(contents.name, [Problem(message=f"{path}: {error}")]) from error
    if not reader.has_section(GROUP):
        return ()
    points = []
    for name, value in reader.items(GROUP):
        plain = value.partition("[")[0].strip()
        module, colon, attribute = plain.partition(":")
        words = [*module.split("."), *(attribute.split(".") if colon else ())]
        if not all(word.isidentifier() for word in words):
            told = Problem(
                message=f"its entry point {name} = {value} names no module",
                hint="write name = package.module, or package.module:plugin",
            )
            raise refused(contents.name, [told])
        points.append(Point(name, plain))
    return tuple(points)
