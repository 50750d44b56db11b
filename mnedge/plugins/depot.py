"""Where plugins from outside are kept: a folder each, and one file that says what became of them.

`<data_dir>/plugins/depot.json` is replaced whole, so whoever reads it sees one state; whoever
changes it holds the lock of the folder. A folder that no record names is rubbish of somebody who
was cut off, or still in use by a daemon that loaded it: it goes as soon as nobody holds it.
Imports little: every start asks whether there is a depot.
"""

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from mnedge.durable import read_plain, remove, to_disk, write_whole
from mnedge.errors import CorruptError, NotFoundError, UnavailableError

FILE = "depot.json"
FOLDER = "plugins"
STAGING = ".staging-"
LOCK_WITHIN_S = 20.0
FORMAT = 1
MOST_BYTES = 256 << 20
"""Of the file that lists them: a plugin of very many files takes a few of these."""
State = Literal["on", "off", "quarantined", "library"]
Stage = Literal["install", "probe", "import", "hook", "clash", "loop", "crash", "altered"]
HOOKS = ("runners", "skills", "devices", "connectors")


class DepotDamagedError(CorruptError):
    """The file that lists the plugins from outside cannot be read."""

    code = "plugin.depot_damaged"


class DepotBusyError(UnavailableError):
    """Another mnedge has been changing the plugins for too long."""

    code = "plugin.depot_busy"


class PluginUnknownError(NotFoundError):
    """No plugin of this name is installed."""

    code = "plugin.unknown"


class Point(Struct, frozen=True):
    """An entry point, `module` or `module:attribute`: what is imported, and asked."""

    name: str
    value: str


class Verdict(Struct, frozen=True, kw_only=True):
    """What a probe found good; holds for this content and this program alone."""

    key: str
    brings: dict[str, tuple[str, ...]] = {}
    """Hook → names of what it returned."""
    took_s: float = 0.0
    at: float = 0.0


class Quarantine(Struct, frozen=True, kw_only=True):
    """Why a plugin is not loaded, though it may be allowed."""

    reason: str
    stage: Stage
    at: float
    program: str
    """Version of mnedge that found it."""
    trace: str = ""
    """Where it happened, if that is known."""


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One distribution of the depot."""

    name: str
    version: str
    folder: str
    digest: str
    """SHA-256 over names and contents of its files."""
    files: dict[str, str]
    """Path below the folder → SHA-256."""
    size_bytes: int
    source: str
    """File that it came from, and the SHA-256 of that file."""
    installed_at: float
    installed_by: str
    tops: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    entry_points: tuple[Point, ...] = ()
    """None: a library that plugins of the depot need."""
    tags: tuple[str, ...] = ()
    """Interpreters and machines it is made for."""
    requires: tuple[str, ...] = ()
    requires_python: str = ""
    summary: str = ""
    author: str = ""
    license: str = ""
    left_out: tuple[str, ...] = ()
    came_with: str = ""
    """The plugin that brought this library along; it goes when nobody needs it any more."""
    allowed: bool = False
    allowed_by: str = ""
    allowed_at: float = 0.0
    seen: str = ""
    """Sizes and times of the files when they were last compared with `files`."""
    verdict: Verdict | None = None
    quarantine: Quarantine | None = None
    strikes: int = 0
    """How many times in a row the process ended while this was loaded, nobody knows why."""

    @property
    def is_plugin(self) -> bool:
        """Tell it from a library."""
        return bool(self.entry_points)

    @property
    def label(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"

    def state(self, configured: Sequence[str] = ()) -> State:
        """Return what becomes of it at the next start; `configured`: names in `plugins:`."""
        if not self.is_plugin:
            return "library"
        if self.quarantine is not None:
            return "quarantined"
        return "on" if self.allowed or self.name in map(normal, configured) else "off"


class _Listing(Struct, frozen=True, kw_only=True):
    records: tuple[Record, ...] = ()
    format: int = FORMAT


class Depot:
    """The plugins of one data directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / FILE

    def records(self) -> tuple[Record, ...]:
        """Return all, by name; none if nothing was ever installed.

        Raises: DepotDamagedError.
        """
        try:
            text = read_plain(self._file, MOST_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            raise DepotDamagedError(
                f"{self._file} cannot be read: {error.strerror}",
                hint=f"see what lies there: ls -l {self._file}",
            ) from error
        try:
            listing = msgspec.json.decode(text, type=_Listing)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DepotDamagedError(
                f"{self._file} cannot be read: {error}",
                hint=f"restore it, or remove {self.folder} and install the plugins again",
            ) from error
        if listing.format > FORMAT:
            raise DepotDamagedError(
                f"{self._file} was written by a newer mnedge",
                hint="use that version, or install the plugins again",
            )
        return listing.records

    def names(self) -> frozenset[str]:
        """Return the names of what lies here, even if nothing is known of it any more."""
        with suppress(OSError):
            places = [place.name for place in self.folder.iterdir() if place.is_dir()]
            return frozenset(name.rsplit("-", 2)[0] for name in places if name.count("-") > 1)
        return frozenset()

    def find(self, name: str) -> Record:
        """Return the record of a name, however it is spelled.

        Raises: PluginUnknownError.
        """
        records = self.records()
        for record in records:
            if record.name == normal(name):
                return record
        there = ", ".join(record.name for record in records)
        raise PluginUnknownError(
            f"no plugin {name!r} is installed",
            hint=f"there are {there}" if there else "mnedge plugin install WHEEL",
        )

    def place(self, record: Record) -> Path:
        """Return the folder that is put on the path."""
        return self.folder / record.folder

    @contextmanager
    def changing(self) -> Iterator[dict[str, Record]]:
        """Have the records by name, nobody else changing them; written when the block ends well.

        Raises: DepotBusyError; DepotDamagedError; OSError if the folder cannot be written.
        """
        with self._locked():
            before = {record.name: record for record in self.records()}
            records = dict(before)
            yield records
            if records != before:
                self._write(records)
            self._sweep(records)
            self._leave()

    def change(self, name: str, **changes: object) -> Record | None:
        """Change members of one record, if it is still there; return it."""
        with self.changing() as records:
            if name not in records:
                return None
            changed = msgspec.structs.replace(records[name], **changes)
            if changed != records[name]:
                records[name] = changed
            return changed

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Have an empty folder beside the plugins, on the same disk; gone after the block."""
        folder = self.folder / f"{STAGING}{os.getpid()}-{os.urandom(4).hex()}"
        with self._locked():
            folder.mkdir(mode=0o755)
            number = hold(folder)
        try:
            yield folder
        finally:
            os.close(number)
            shutil.rmtree(folder, ignore_errors=True)
            if not self._file.exists():
                with suppress(DepotBusyError), self._locked():
                    self._leave()

    def settle(self, staged: Path, record: Record) -> None:
        """Move a staged folder to its place, to be called inside `changing`."""
        self.own(staged)
        target = self.place(record)
        if target.exists():  # the same content: its name has the digest in it
            if not altered(target, record.files):
                return
            target.rename(self.folder / f"{record.folder}-altered-{os.urandom(4).hex()}")
        for folder, _, files in os.walk(staged):
            for file in files:
                to_disk(Path(folder, file))
            to_disk(Path(folder))
        staged.rename(target)
        to_disk(self.folder)

    def own(self, folder: Path) -> None:
        """Give it to whoever owns the data directory: root may install for the service."""
        owner = self.owner()
        if owner is None:
            return
        for place in (folder, *folder.rglob("*")):
            os.chown(place, *owner, follow_symlinks=False)

    def owner(self) -> tuple[int, int] | None:
        """Return user and group of the data directory if we are root and they are not."""
        if os.geteuid() != 0:
            return None
        for place in (self.folder.parent, *self.folder.parent.parents):
            with suppress(OSError):
                found = place.stat()
                return (found.st_uid, found.st_gid) if found.st_uid != 0 else None
        return None

    def _write(self, records: dict[str, Record]) -> None:
        if not records:
            remove(self._file)
            return
        listing = _Listing(records=tuple(records[name] for name in sorted(records)))
        text = msgspec.json.format(msgspec.json.encode(listing), indent=1)
        write_whole(self._file, text, owner=self.owner())

    def _made(self) -> None:
        if not self.folder.is_dir():
            self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            self.own(self.folder)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the folder's lock; the folder may be removed by whoever leaves it empty."""
        import time

        deadline = time.monotonic() + LOCK_WITHIN_S
        while True:
            self._made()
            try:
                number = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _same(number, self.folder):
                    break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(number)
                    raise DepotBusyError(
                        f"another mnedge has been changing {self.folder} for {LOCK_WITHIN_S:.0f} s",
                        hint="wait for it, or look what it hangs in",
                    ) from None
                _pause(0.05)
            os.close(number)
        try:
            yield
        finally:
            os.close(number)

    def _sweep(self, records: dict[str, Record]) -> None:
        """Remove folders that no record names and nobody holds."""
        kept = {record.folder for record in records.values()}
        for place in self.folder.iterdir():
            if place.name in kept or not place.is_dir() or place.is_symlink():
                continue
            with suppress(OSError):
                number = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(place, ignore_errors=True)
                finally:
                    os.close(number)

    def _leave(self) -> None:
        """Remove the folder if nothing is in it, to be called under its lock: whoever waits for
        that lock looks again."""
        with suppress(OSError):
            self.folder.rmdir()


def depot_of(data_dir: Path) -> Depot:
    """Return where the node of a data directory keeps plugins from outside."""
    return Depot(data_dir / FOLDER)


def hold(folder: Path) -> int:
    """Return a descriptor that keeps a folder from being swept away, until it is closed."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(number, fcntl.LOCK_SH)
    return number


def normal(name: str) -> str:
    """Return a distribution's name as the depot spells it: `Acme_Runner` → `acme-runner`."""
    words = name.lower().replace("_", "-").replace(".", "-").split("-")
    return "-".join(word for word in words if word)


def seen(folder: Path, files: Sequence[str]) -> str:
    """Return sizes and times of the files as one text; nothing if one is missing."""
    import hashlib

    told = hashlib.sha256()
    for path in sorted(files):
        try:
            found = os.lstat(folder / path)
        except OSError:
            return ""
        if not stat.S_ISREG(found.st_mode):
            return ""
        told.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_ino}\n".encode())
    return told.hexdigest()


def altered(folder: Path, files: dict[str, str]) -> list[str]:
    """Return what is no longer as it was installed: changed, missing or new files."""
    import hashlib

    wrong = []
    for path, digest in sorted(files.items()):
        try:
            is_plain = stat.S_ISREG(os.lstat(folder / path).st_mode)
            with open(folder / path, "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            wrong.append(f"{path} is missing")
            continue
        if found != digest or not is_plain:
            wrong.append(f"{path} was changed")
    for place in sorted(folder.rglob("*")):
        path = place.relative_to(folder).as_posix()
        if path not in files and "__pycache__" not in path.split("/") and not place.is_dir():
            wrong.append(f"{path} was added")
    return wrong


def _same(number: int, folder: Path) -> bool:
    """Tell whether the open folder is still the one of that name."""
    try:
        there = folder.stat()
    except OSError:
        return False
    here = os.fstat(number)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def _pause(seconds: float) -> None:
    import select

    select.select([], [], [], seconds)
