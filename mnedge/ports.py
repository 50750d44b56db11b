"""What the inside expects of the outside: stores, and what a plugin brings.

One contract suite per port runs against every implementation (`mnedge.testing`).
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from msgspec import Struct, field

from mnedge.model.resources import Device, Fingerprint
from mnedge.model.states import OutcomeStatus


class Epoch(NamedTuple):
    """Grows with every new holder of a claim; every write of a holder carries it."""

    failover: int
    counter: int


class Row(NamedTuple):
    """One record of the table. `version` starts at 1 and grows with each write."""

    key: str
    value: bytes
    version: int


class Table(Protocol):
    """Small records by key."""

    async def get(self, key: str) -> Row | None:
        """Return the row, or None."""

    async def put(
        self, key: str, value: bytes, *, if_version: int | None = None, sync: bool = True
    ) -> int:
        """Write and return the new version; `sync=False`: durable with the next synced write, soon.

        `if_version` 0: only if the key is new; n: only if that is its version; None: whatever is
        there.
        Raises: ConflictError if the version is another.
        """

    async def put_new(self, rows: Mapping[str, bytes]) -> None:
        """Write rows whose keys are new, all of them or none; whoever sees one sees all.

        Raises: ConflictError if a key is there.
        """

    async def delete(self, key: str, *, if_version: int | None = None, sync: bool = True) -> None:
        """Forget the key; a key that is not there is no error. `sync` as for `put`.

        Raises: ConflictError if the version is another.
        """

    async def scan(self, prefix: str, *, after: str = "", limit: int = 500) -> list[Row]:
        """Return rows whose key starts with `prefix` and is greater than `after`, in key order."""

    def watch(self, prefix: str) -> AsyncIterator[list[Row]]:
        """Yield all rows under the prefix, then whatever any process changed, in batches.

        A batch never is empty except the first. Deletions are not reported. Intermediate versions
        may be skipped.
        """


class Claim(NamedTuple):
    """A key that this process holds."""

    key: str
    holder: str
    epoch: Epoch


class Claims(Protocol):
    """One holder per key, across processes."""

    async def claim(self, key: str) -> Claim | None:
        """Hold the key with a new, higher epoch; None if somebody living holds it."""

    async def release(self, claim: Claim) -> None:
        """Let go. A claim that is no longer ours is no error."""

    async def holder(self, key: str) -> str | None:
        """Return who holds the key and lives, for people."""


class Journal(Protocol):
    """The facts of each job, in order, numbered from 1 without gaps."""

    async def append(
        self,
        job_id: str,
        epoch: Epoch,
        first_seq: int,
        records: Sequence[bytes],
        *,
        sync: bool = True,
    ) -> None:
        """Return when the records are durable (`sync=False`: when the next synced append is, soon).

        Raises: ConflictError if the epoch is stale or `first_seq` is not the next number;
        UnavailableError if the
        disk is full, read-only or failing (nothing of the batch is kept then).
        """

    async def read(
        self, job_id: str, *, after: int = 0, limit: int = 500
    ) -> list[tuple[int, bytes]]:
        """Return up to `limit` records numbered after `after`.

        Raises: CorruptError if a record is damaged and good ones follow it. A torn tail was cut at
        opening.
        """

    async def snapshot(self, job_id: str, epoch: Epoch, seq: int, data: bytes) -> None:
        """Keep the state after fact `seq`; the newest two are kept."""

    async def latest_snapshot(self, job_id: str) -> tuple[int, bytes] | None:
        """Return the newest good snapshot and its fact number."""

    async def compact(self, job_id: str, epoch: Epoch, through: int) -> None:
        """Forget records up to `through`, never past the newest good snapshot."""

    async def forget(self, job_id: str) -> None:
        """Drop all of a job's records and snapshots."""


class Blobs(Protocol):
    """Content by hash."""

    async def put(self, content: bytes) -> str:
        """Keep it durably (fsync before return); return its digest `sha256:<hex>`."""

    async def put_file(self, path: str) -> str:
        """As `put`, for a file too large to hold in memory."""

    async def get(self, digest: str) -> bytes:
        """Return the content, verified.

        Raises: NotFoundError; CorruptError if the content no longer matches its hash.
        """

    async def path(self, digest: str) -> str:
        """Return a path to read it from (never write to it)."""

    async def has(self, digest: str) -> bool:
        """Tell whether it is here."""


class Exit(NamedTuple):
    """How a command ended."""

    code: int
    """As a shell says it: 128 + the signal's number if one killed it."""
    signal: int | None
    user_s: float
    system_s: float
    max_rss_bytes: int
    """0 if unknown."""


class Process(Protocol):
    """A command that was started, and everything that descends from it.

    The descriptors are non-blocking; `end` closes them.
    """

    pid: int
    exit_fd: int
    """Readable once the command itself has ended (what it started may go on)."""
    stdin: int | None
    stdout: int
    stderr: int

    def signal(self, number: int) -> None:
        """Send a signal to its process group; nothing happens if it is gone."""

    async def exited(self) -> None:
        """Return when the command itself has ended; its process id stays its own until `end`."""

    async def end(self) -> Exit:
        """Kill what is left of the tree, also what left its group; return how the command ended.

        Not cancelled half-way. A second call returns the same.
        """


class Spawner(Protocol):
    """Starts processes that do not outlive their owner unnoticed."""

    def start(
        self,
        arguments: Sequence[str],
        *,
        token: str,
        environment: Mapping[str, str],
        directory: str,
        with_stdin: bool = False,
    ) -> Process:
        """Start a command; the first argument is looked up on the PATH of `environment`.

        stdin is /dev/null unless asked for. `token` is added to the environment as `MNEDGE_LAUNCH`.
        Raises: OSError if it cannot be started (no such program, no such directory, …).
        """

    async def sweep(self, tokens: Collection[str]) -> int:
        """Kill what runs under these tokens and is not ours; return how many processes that was.

        A token that ends in `/` stands for all that start with it.
        """


class Launch(Struct, frozen=True, kw_only=True):
    """What a runner is asked to start: everything is staged, substituted and absolute.

    Units: seconds, bytes.
    """

    token: str
    """`<job>/<attempt>/<launch>`; stands in the process's environment as `MNEDGE_LAUNCH`."""
    name: str
    """Name of the run, for people and the result (`sandbox_name`)."""
    command: tuple[str, ...] | str
    """A list is executed directly; a string goes through `bash -lc`."""
    workspace: str
    workdir: str
    environment: dict[str, str]
    timeout_s: float | None = None
    grace_s: float = 5.0
    """Between SIGTERM and SIGKILL of the whole process tree."""
    max_output_bytes: int = 1 << 20
    """Per stream; the rest is dropped and marked."""
    config: dict[str, Any] = field(default_factory=dict)
    """The agent's config, for keys that only this runner knows."""


class Finished(Struct, frozen=True, kw_only=True):
    """How a launch ended."""

    status: OutcomeStatus
    exit_code: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    error: str | None = None
    """Why it is not an exit code: `host local command timed out`, `failed to invoke …: …`, …"""
    dropped_bytes: dict[str, int] = field(default_factory=dict)
    """`stdout`, `stderr` → what was over the cap; a stream that was kept whole is left out."""
    elapsed_s: float = 0.0
    rusage: dict[str, float] = field(default_factory=dict)
    """`user_s`, `system_s`, `max_rss_bytes` where known."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Members that this runner adds to the result map."""


LineSink = Callable[[bytes], bool]
"""Called with each complete line of stdout (no newline); True removes it from the captured output.
"""


class Runner(Protocol):
    """Starts commands somewhere and brings back what they said."""

    name: str
    """Short name, also the `runner` member of results: `host_local`."""
    modules: tuple[str, ...]
    """Wire names that select it: `MirrorNeuron.Runner.HostLocal`, …"""
    isolation: str
    """`none`, `process`, `sandbox` or `vm`: what `sandbox.min_level` is compared with."""

    def available(self) -> str | None:
        """Return None if it can run here, else why not, for `doctor` and for refusals."""

    async def run(self, launch: Launch, on_line: LineSink) -> Finished:
        """Run to the end. Cancelled: the whole process tree is gone before this returns.

        Never raises for what a command can do wrong; that is a `Finished`.
        """

    async def sweep(self, tokens: Mapping[str, str]) -> int:
        """Kill what still runs under launch tokens of a dead owner; return how many.

        `tokens`: launch token → job id. A token that ends in `/` stands for all that start with it.
        """


class Delivery(Struct, frozen=True, kw_only=True):
    """One thing to hand over. JSON values only, free of secrets."""

    delivery_id: str
    """The same at every try, and nobody else's: who has seen it need not take it again."""
    kind: str
    """What it is: `alert`, `test`, later `output`."""
    title: str
    """One line for people."""
    at: float
    """When it came about, seconds since 1970."""
    body: dict[str, Any] = field(default_factory=dict)
    attempt: int = 1
    """Which try this is."""


class Skill(Protocol):
    """Hands something over to people or programs: a file, a webhook, a mailbox.

    `settings` are what the operator (or a blueprint) wrote about the place. References to secrets
    in them were replaced by their values: never show them, also not in an error.
    """

    name: str
    """By which settings choose it: `file`, `webhook`."""

    def check(self, settings: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with the settings, one sentence each; nothing is sent or opened."""

    async def deliver(self, delivery: Delivery, settings: Mapping[str, Any]) -> None:
        """Return when the other side has it. May be called again with the same delivery.

        Takes 30 s at most; may be cancelled, and then again be called.
        Raises: UnavailableError if trying again later may help; UsageError if it never will.
        """


class DeviceProbe(Protocol):
    """Finds devices of one kind on this machine."""

    name: str
    """Short: `nvidia`, `camera`."""

    @property
    def watched(self) -> tuple[str, ...]:
        """Folders: something that comes or goes there is a reason to look again.

        A folder may be absent; it is asked for again after each look.
        """

    def probe(self) -> Fingerprint:
        """Look, and return what is there now; nothing there is an empty fingerprint.

        Called in a thread of its own, at start, when something changed in `watched`, and when an
        operator asks; whoever takes longer than 5 s is left out and named. What a probe raises is
        told under its name, and what it found last stays, as unhealthy.
        """

    def environment(self, lent: Sequence[Device]) -> Mapping[str, str]:
        """Return what tells a worker which of this probe's devices it was lent.

        `lent` holds those of this probe alone, and may be empty: a worker that was lent none should
        not see any, where the device's own library heeds a variable for that.
        """


class Item(Struct, frozen=True, kw_only=True):
    """Something that an outside system had to tell. JSON values only."""

    item_id: str
    """Names the thing and its version, always the same way: what came twice is told by it."""
    event: str
    """What happened, in snake_case: `folder_content_changed`, `http_content_changed`."""
    body: dict[str, Any] = field(default_factory=dict)
    source_ref: dict[str, Any] = field(default_factory=dict)
    """Where it came from: connector, path or address, version; free of secrets."""


class Batch(NamedTuple):
    """What a connector read."""

    items: list[Item]
    cursor: str
    """Hand it back to read what is new since. Kept durably with the items; at most 64 KiB."""


class Connector(Protocol):
    """Reads from an outside system: a folder, an address, a queue.

    `settings` are what a blueprint (or the operator) wrote about the source. References to secrets
    in them were replaced by their values: never show them, also not in an error.
    """

    name: str
    """By which settings choose it: `file`, `http`."""

    def check(self, settings: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with the settings, one sentence each; nothing is opened."""

    async def read(
        self, settings: Mapping[str, Any], cursor: str | None = None, *, folder: str = ""
    ) -> Batch:
        """Return what is there (`cursor` None), or what is new since the cursor, oldest first.

        `folder` holds the bundle of the job that reads: relative paths start there.
        With a cursor it may wait up to 30 s for something new, and else returns an empty batch. It
        may be cancelled, and called again with the same cursor: then it returns the same again.
        Raises: UnavailableError if trying again later may help; UsageError if it never will.
        """


class Clock(Protocol):
    """The date: seconds since 1970, UTC. Waiting uses trio's own clock."""

    def __call__(self) -> float:
        """Return the date as this machine has it; it may be wrong, and may be stepped."""
