"""The plainest store: the reference for the others, and their stand-in on the virtual clock.

What one `MemoryStore` keeps outlives it: `beside(holder)` gives another one on the same contents,
as another process would have, and `perish(holder)` makes a process gone whose claims are then free.
"""

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from operator import itemgetter

import trio
from msgspec import Struct, field

from mnedge import faults
from mnedge.part import Part
from mnedge.ports import Claim, Clock, Epoch, Row
from mnedge.store.blobs import BlobEntry, BlobMissingError, hex_of
from mnedge.store.condition import Condition, Conditions
from mnedge.store.journal_rows import (
    OutOfOrderError,
    StaleEpochError,
    TornTail,
    claim_key_of,
)
from mnedge.store.table import RowChangedError, Watch, Watchers

PLACE = "memory"


class _Job(Struct):
    epoch: Epoch = Epoch(0, 0)
    compacted: int = 0
    records: dict[int, bytes] = field(default_factory=dict)
    snapshots: list[tuple[int, bytes]] = field(default_factory=list)

    @property
    def last_seq(self) -> int:
        return max(self.records, default=self.compacted)


class _Contents(Struct):
    """Everything that a disk would hold, and who lives."""

    rows: dict[str, Row] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)
    change: int = 0
    jobs: dict[str, _Job] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)
    epochs: dict[str, Epoch] = field(default_factory=dict)
    counter: int = 0
    blobs: dict[str, bytes] = field(default_factory=dict)
    living: set[str] = field(default_factory=set)
    watchers: Watchers = field(default_factory=Watchers)


class MemoryTable:
    """Table in memory."""

    def __init__(self, contents: _Contents, disk: "_Disk") -> None:
        self._contents = contents
        self._disk = disk

    async def get(self, key: str) -> Row | None:
        """Return the row, or None."""
        await trio.lowlevel.checkpoint()
        return self._contents.rows.get(key)

    async def put(
        self, key: str, value: bytes, *, if_version: int | None = None, sync: bool = True
    ) -> int:
        """Write and return the new version."""
        await trio.lowlevel.checkpoint()
        held = self._contents
        before = held.rows.get(key)
        version = before.version if before else 0
        if if_version is not None and if_version != version:
            raise RowChangedError.of(key, if_version, version)
        with self._disk.writing():
            held.change += 1
            held.changes[key] = held.change
            held.rows[key] = Row(key, bytes(value), version + 1)
        faults.hit("table.put.after")
        held.watchers.notify((key,))
        return version + 1

    async def put_new(self, rows: Mapping[str, bytes]) -> None:
        """Write new rows, all of them or none."""
        await trio.lowlevel.checkpoint()
        held = self._contents
        for key in rows:
            before = held.rows.get(key)
            if before is not None:
                raise RowChangedError.of(key, 0, before.version)
        with self._disk.writing():
            for key, value in rows.items():
                held.change += 1
                held.changes[key] = held.change
                held.rows[key] = Row(key, bytes(value), 1)
        faults.hit("table.put.after")
        held.watchers.notify(tuple(rows))

    async def delete(self, key: str, *, if_version: int | None = None, sync: bool = True) -> None:
        """Forget the key."""
        await trio.lowlevel.checkpoint()
        before = self._contents.rows.get(key)
        if before is None:
            return
        if if_version is not None and if_version != before.version:
            raise RowChangedError.of(key, if_version, before.version)
        with self._disk.writing():
            del self._contents.rows[key]
            del self._contents.changes[key]

    async def scan(self, prefix: str, *, after: str = "", limit: int = 500) -> list[Row]:
        """Return rows under the prefix, in key order."""
        await trio.lowlevel.checkpoint()
        keys = sorted(k for k in self._contents.rows if k.startswith(prefix) and k > after)
        return [self._contents.rows[key] for key in keys[:limit]]

    def watch(self, prefix: str) -> Watch:
        """Yield all rows under the prefix, then what changed."""
        held = self._contents

        async def look(since: int | None) -> tuple[int, list[Row]]:
            await trio.lowlevel.checkpoint()
            keys = sorted(key for key in held.rows if key.startswith(prefix))
            if since is not None:
                new = (key for key in keys if held.changes[key] > since)
                keys = sorted(new, key=held.changes.__getitem__)
            return held.change, [held.rows[key] for key in keys]

        return Watch(held.watchers.watching(prefix), look)


class MemoryClaims:
    """Claims in memory; who lives is what the contents say."""

    def __init__(self, contents: _Contents, disk: "_Disk", holder: str) -> None:
        self._contents = contents
        self._disk = disk
        self._holder = holder

    async def claim(self, key: str) -> Claim | None:
        """Hold the key, or return None if somebody living holds it."""
        await trio.lowlevel.checkpoint()
        held = self._contents
        before = held.claims.get(key)
        if before is not None and before.holder in held.living:
            return None
        with self._disk.writing():
            held.counter += 1
            held.epochs[key] = Epoch(0, held.counter)
            held.claims[key] = Claim(key, self._holder, held.epochs[key])
        return held.claims[key]

    async def release(self, claim: Claim) -> None:
        """Let go."""
        await trio.lowlevel.checkpoint()
        if self._contents.claims.get(claim.key) == claim:
            with self._disk.writing():
                del self._contents.claims[claim.key]

    async def holder(self, key: str) -> str | None:
        """Return who holds the key and lives."""
        await trio.lowlevel.checkpoint()
        claim = self._contents.claims.get(key)
        return claim.holder if claim and claim.holder in self._contents.living else None


class MemoryJournal:
    """Journal in memory; `tear` damages its end as a power cut would."""

    def __init__(self, contents: _Contents, disk: "_Disk", reports: list[TornTail]) -> None:
        self._contents = contents
        self._disk = disk
        self._reports = reports

    async def append(
        self,
        job_id: str,
        epoch: Epoch,
        first_seq: int,
        records: Sequence[bytes],
        *,
        sync: bool = True,
    ) -> None:
        """Keep the records."""
        await trio.lowlevel.checkpoint()
        faults.hit("journal.append.before")
        job = self._owned(job_id, epoch)
        if first_seq != job.last_seq + 1:
            raise OutOfOrderError.of(job_id, first_seq, job.last_seq)
        with self._disk.writing():
            faults.hit("journal.append.during")
            self._contents.jobs[job_id] = job
            job.epoch = epoch
            job.records.update(enumerate(map(bytes, records), first_seq))
        faults.hit("journal.append.after")

    async def read(
        self, job_id: str, *, after: int = 0, limit: int = 500
    ) -> list[tuple[int, bytes]]:
        """Return records numbered after `after`."""
        await trio.lowlevel.checkpoint()
        job = self._contents.jobs.get(job_id, _Job())
        return [(seq, job.records[seq]) for seq in sorted(job.records) if seq > after][:limit]

    async def snapshot(self, job_id: str, epoch: Epoch, seq: int, data: bytes) -> None:
        """Keep the state after fact `seq`."""
        await trio.lowlevel.checkpoint()
        faults.hit("journal.snapshot.before")
        job = self._owned(job_id, epoch)
        if not job.compacted <= seq <= job.last_seq:
            raise OutOfOrderError.of_snapshot(job_id, seq, job.compacted, job.last_seq)
        with self._disk.writing():
            self._contents.jobs[job_id] = job
            job.epoch = epoch
            job.snapshots = sorted([*job.snapshots, (seq, bytes(data))], key=itemgetter(0))[-2:]
        faults.hit("journal.snapshot.after")

    async def latest_snapshot(self, job_id: str) -> tuple[int, bytes] | None:
        """Return the newest snapshot and its fact number."""
        await trio.lowlevel.checkpoint()
        job = self._contents.jobs.get(job_id)
        return job.snapshots[-1] if job and job.snapshots else None

    async def compact(self, job_id: str, epoch: Epoch, through: int) -> None:
        """Forget records up to `through`, never past the older of the two snapshots."""
        await trio.lowlevel.checkpoint()
        job = self._owned(job_id, epoch)
        if len(job.snapshots) >= 2:
            with self._disk.writing():
                job.compacted = max(job.compacted, min(through, job.snapshots[0][0]))
                for seq in [seq for seq in job.records if seq <= job.compacted]:
                    del job.records[seq]
        faults.hit("journal.compact.after")

    async def forget(self, job_id: str) -> None:
        """Drop all of a job's records and snapshots."""
        await trio.lowlevel.checkpoint()
        with self._disk.writing():
            self._contents.jobs.pop(job_id, None)

    def tear(self, job_id: str, count: int) -> None:
        """Lose the last `count` records, as if they had been damaged and cut at opening."""
        job = self._contents.jobs[job_id]
        lost = sorted(job.records)[-count:]
        for seq in lost:
            del job.records[seq]
        self._reports.append(TornTail(job_id, job.last_seq, len(lost)))

    def _owned(self, job_id: str, epoch: Epoch) -> _Job:
        job = self._contents.jobs.get(job_id) or _Job()
        newest = max(job.epoch, self._contents.epochs.get(claim_key_of(job_id), Epoch(0, 0)))
        if epoch < newest:
            raise StaleEpochError.of(job_id, epoch, newest)
        return job


class MemoryBlobs:
    """Blobs in memory; `path` writes one out on demand."""

    def __init__(self, contents: _Contents, disk: "_Disk") -> None:
        self._contents = contents
        self._disk = disk
        self._folder: str | None = None

    async def put(self, content: bytes) -> str:
        """Keep it; return its digest."""
        await trio.lowlevel.checkpoint()
        digest = f"sha256:{sha256(content).hexdigest()}"
        with self._disk.writing():
            faults.hit("blob.put.before_rename")
            self._contents.blobs[digest] = bytes(content)
        faults.hit("blob.put.after_rename")
        return digest

    async def put_file(self, path: str) -> str:
        """As `put`."""
        with open(path, "rb") as file:
            return await self.put(file.read())

    async def get(self, digest: str) -> bytes:
        """Return the content."""
        await trio.lowlevel.checkpoint()
        hex_of(digest)
        if digest not in self._contents.blobs:
            raise BlobMissingError.of(digest)
        return self._contents.blobs[digest]

    async def path(self, digest: str) -> str:
        """Return a path to read it from."""
        content = await self.get(digest)
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="mnedge-blobs-")
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        path = os.path.join(self._folder, hex_of(digest))
        with open(path, "wb") as file:
            file.write(content)
        return path

    async def has(self, digest: str) -> bool:
        """Tell whether it is here."""
        await trio.lowlevel.checkpoint()
        hex_of(digest)
        return digest in self._contents.blobs

    async def list(self) -> list[BlobEntry]:
        """Return what is here, by digest; `kept_at` is not known."""
        await trio.lowlevel.checkpoint()
        return [BlobEntry(d, len(c), 0.0) for d, c in sorted(self._contents.blobs.items())]

    async def forget(self, digest: str) -> None:
        """Drop it; one that is not here is no error."""
        await trio.lowlevel.checkpoint()
        hex_of(digest)
        self._contents.blobs.pop(digest, None)

    async def size_bytes(self) -> int:
        """Return how much all of it takes."""
        await trio.lowlevel.checkpoint()
        return sum(map(len, self._contents.blobs.values()))


class _Disk:
    """Turns injected failures of the disk into the errors and conditions of a real one."""

    def __init__(self, now: Clock | None) -> None:
        self.conditions = Conditions(now)

    @contextmanager
    def writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self.conditions.failed(PLACE, PLACE, error) from error
        self.conditions.fine(PLACE, os.devnull)


class MemoryStore(Part):
    """A store that is gone with its last user."""

    def __init__(
        self,
        holder: str = "process-1",
        *,
        now: Clock | None = None,
        contents: _Contents | None = None,
    ) -> None:
        self.holder = holder
        self._contents = contents or _Contents()
        self._contents.living.add(holder)
        self._disk = _Disk(now)
        self.reports: list[TornTail] = []
        self.table = MemoryTable(self._contents, self._disk)
        self.claims = MemoryClaims(self._contents, self._disk, holder)
        self.journal = MemoryJournal(self._contents, self._disk, self.reports)
        self.blobs = MemoryBlobs(self._contents, self._disk)

    @property
    def conditions(self) -> Conditions:
        """Where others who write note how that went."""
        return self._disk.conditions

    @property
    def condition(self) -> Condition:
        """What the disk is like; only injected faults make it anything but ok."""
        return self._disk.conditions.current

    async def probe(self) -> Condition:
        """Return the condition after another try."""
        await trio.lowlevel.checkpoint()
        self._disk.conditions.fine(PLACE, os.devnull)
        return self.condition

    def beside(self, holder: str) -> "MemoryStore":
        """Return what another process would have open."""
        return MemoryStore(holder, contents=self._contents)

    def perish(self, holder: str) -> None:
        """Let the process of that name be gone: what it claimed is free."""
        self._contents.living.discard(holder)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be open until cancelled."""
        task_status.started()
        await trio.sleep_forever()
