"""Run folders: what a run leaves behind for people, whatever its workers do to it.

The folder is `<runs root>/<run id>`. Beside it, in the data directory, lie our own event stream and
those that follow from it (`events/<job id>/`): they are the truth and hold the watermark. A crash
between any two writes is made good by `open`, which the next owner calls.
"""

import errno
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from mnedge import faults
from mnedge.errors import MnedgeError, UnavailableError
from mnedge.model.artifacts import artifact_id
from mnedge.model.events import Event
from mnedge.model.ids import derived_id
from mnedge.model.manifest import JobSpec
from mnedge.model.message import iso_ms
from mnedge.model.redaction import Redactor, redactor_for
from mnedge.model.states import TERMINAL, JobStatus
from mnedge.ports import Clock
from mnedge.store.condition import Conditions
from mnedge.store.runs.bounds import bounded_envelope
from mnedge.store.runs.contents import (
    artifact_paths,
    artifact_records,
    bounded_ledger,
    resources_of,
    timeline_json,
)
from mnedge.store.runs.derived import Deriver, level_of
from mnedge.store.runs.files import (
    RunExistsError,
    RunTakenError,
    Stamp,
    pretty,
    read_json,
    read_plain,
    remove_temporaries,
    replace_file,
    run_folder_path,
    stamp_of,
    sync_paths,
)
from mnedge.store.runs.lines import Block, Renderer
from mnedge.store.runs.pages import Pages
from mnedge.store.runs.records import (
    Closing,
    final_artifact_json,
    identity_of,
    inputs_json,
    job_json,
    result_json,
    run_json,
    summary_json,
)
from mnedge.store.runs.spoken import Spoken

LEDGER = "workflow_state.json"
STREAMS = "events"
"""Folder of the data directory that holds our streams, one folder per job."""
DOUBT = "doubt"
"""Mark of a run of whose files one could not be fsynced."""
HOLDER = "holder.json"
"""Mark of whoever has a folder open; it says nothing but that it is another one."""
TIMELINE_BYTES = 64 << 20
"""What of a long timeline is looked at for `timeline.json`."""
_JSON_FILES = (
    "config.json",
    "final_artifact.json",
    "inputs.json",
    "job.json",
    "observability_summary.json",
    "result.json",
    "run.json",
    "timeline.json",
    "workflow_state.json",
)
_PLACE = "runs"
_CHANGING = frozenset({"run.json", "observability_summary.json"})
_OVER = frozenset(map(str, TERMINAL))


class RunFolder:
    """The folder of one run, written by the owner of its job and nobody else of ours.

    All methods but `sync` belong to the owner's task. They may block for as long as
    the disk takes for a few small writes; `open`, `finish` and `sync` for longer.
    """

    def __init__(
        self,
        root: Path,
        data_dir: Path,
        job_id: str,
        spec: JobSpec,
        *,
        submitted_at: float,
        now: Clock,
        redactor: Redactor | None = None,
        conditions: Conditions | None = None,
        source: str = "",
    ) -> None:
        """`source` is where the bundle came from, for people.

        Without a `redactor` only what the config names is hidden, no values of any environment.
        Raises: RunIdInvalidError.
        """
        self.path = run_folder_path(root, job_id)
        self._streams = data_dir / STREAMS / job_id
        self._spec = spec
        self._source = source
        self._submitted_at = submitted_at
        self._now = now
        self._redactor = redactor or redactor_for(spec.config)
        self._conditions = conditions or Conditions(now)
        trace_id = "trc_" + derived_id(f"{job_id}:trace", size_bytes=12)
        self._identity = identity_of(spec, job_id, trace_id)
        self._renderer = Renderer(self._identity, self._redactor)
        self._pages = Pages(
            self._streams,
            self.path,
            self._identity,
            self._redactor,
            Deriver(
                job_id,
                spec.blueprint_id,
                trace_id,
                log_level=_log_level(spec.config),
            ),
            now=now,
        )
        self._stamps: dict[str, Stamp] = {}
        self._contents: dict[str, bytes] = {}
        self._shown_status = ""
        self._closing: Closing | None = None
        self._sound = False
        """False: what is in memory may not be what is on the disk, so read that again first."""
        self._held: Stamp | None = None
        """What our mark looks like: whoever opens the folder leaves another one."""

    @property
    def watermark(self) -> int:
        """The highest number of an event that is in our stream."""
        return self._pages.tally.last_seq

    @property
    def is_behind(self) -> bool:
        """True if `events.jsonl` does not show all yet, because others keep writing to it."""
        return self._sound and self._pages.is_behind

    def open(self, *, resume: bool = False) -> int:
        """Create the folder or mend it, and return the watermark.

        Events that are there stay there: what follows is numbered after them.
        Raises: RunExistsError if a finished run of somebody else lies there, unless `resume`;
        UnavailableError.
        """
        if not resume and not self._streams.exists():
            found = read_json(self.path / "run.json")
            if isinstance(found, dict) and found.get("status") in _OVER:
                raise RunExistsError(
                    f"the run {self._identity.job_id} exists already and is {found['status']}",
                    hint="choose another run id, or resume it",
                    details={"run_dir": str(self.path), "status": found["status"]},
                )
        self._held = None
        with self._told():
            self._take()
            self._load()
            if self.watermark:
                self._sync_events()
        return self.watermark

    def publish(self, events: Sequence[Event]) -> None:
        """Write those events that are not written yet; all of them or, on an error, the first few.

        Raises: UnavailableError; the same events may be published again when the disk is well.
        """
        if self._sound and (not events or events[-1].seq <= self.watermark):
            return
        with self._told():
            if not self._sound:
                self._load()
            faults.hit("publish.before")
            watermark = self.watermark
            fresh = [event for event in events if event.seq > watermark]
            if fresh:
                started = bool(self._pages.tally.started_ts)
                self._pages.add(self._renderer.blocks(fresh, started=started))
                self._show_status()
            faults.hit("publish.after")

    def merge_worker_files(self) -> None:
        """Take in what workers wrote into the folder, and restore what is ours.

        A disk that refuses is no error here: the next `publish` or `finish` will meet it.
        """
        if not self._sound:
            return
        try:
            with self._told():
                self._pages.merge()
                self._restore()
        except UnavailableError:
            return

    def listen(self) -> list[Spoken]:
        """Return what others wrote into `human.jsonl` and nobody was told yet.

        Each line is told again after `open` until it is confirmed. A disk that refuses is no error.
        """
        try:
            with self._told():
                if not self._sound:
                    self._load()
                return self._pages.listen()
        except UnavailableError:
            return []

    def confirm(self, line_ids: Collection[str]) -> None:
        """Forget lines that the job's journal holds; if the disk refuses, they are told again."""
        try:
            with self._told():
                self._pages.spool.confirm(line_ids)
        except UnavailableError:
            return

    def cut(self, seq: int) -> None:
        """Forget the events after this number: facts they follow from did not reach the disk.

        Others will have their numbers, so they are gone from the disk when this returns.
        Raises: UnavailableError.
        """
        with self._told():
            self._pages.cut(seq)
            self._sync_events()
            self._contents.clear()
            self._restore()

    def finish(
        self,
        status: JobStatus,
        result: Any,
        error: dict[str, Any] | None = None,
        *,
        ended_at: float | None = None,
        reason: str = "",
        steps: Sequence[dict[str, Any]] = (),
        workflow: dict[str, Any] | None = None,
    ) -> None:
        """Leave a complete folder; repeated with the same arguments, it leaves the same one.

        `workflow` is the ledger of a job with steps, `steps` what `result.json` says of them.
        `ended_at` is by default the time of the event that ended the run.
        Raises: UnavailableError.
        """
        with self._told():
            if not self._sound:
                self._load()
            faults.hit("finish.before")
            self._pages.merge(thoroughly=True)
            self._restore()
            closing = self._closing_of(status, result, error, ended_at, reason, steps)
            if workflow is not None:
                self._write(LEDGER, pretty(bounded_ledger(self._redactor.tree(workflow))))
            if not self._pages.tally.ended_type:
                self._end(closing)
            self._close_with(closing)
            faults.hit("finish.after")

    def sync(self) -> None:
        """Return when all that was published, and every JSON file, is on the disk.

        What the run folder shows of our streams is made again at the next `open`; once the run is
        finished nobody opens it, so that is on the disk as well then.
        May be called from another thread. Raises: UnavailableError.
        """
        try:
            if self._is_in_doubt():
                raise OSError(errno.EIO, "an fsync failed; it is to be written anew")
            self._pages.synced()
            shown = [] if self._closing is None else self._pages.shown()
            files = [*(self.path / name for name in sorted(self._stamps)), *shown]
            streams = self._streams.parent
            sync_paths([*files, self.path, self.path.parent, streams, streams.parent])
        except OSError as met:
            self._doubt()
            raise self._named(met) from met

    def close(self) -> None:
        """Let go of all files; `open` goes on."""
        self._sound = False
        self._pages.close()

    # ---- keeping memory and disk together ----

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Whatever goes wrong inside, read the disk again next time; name what the disk says.

        Raises: RunTakenError if somebody else has opened the folder since.
        """
        found = None if self._held is None else stamp_of(self._streams / HOLDER)
        if found is not None and found != self._held and not faults.flag("fencing_off"):
            raise RunTakenError(
                f"the run folder {self.path} has been opened by another process",
                hint="let go of the job: somebody else carries it on",
                details={"run_dir": str(self.path)},
            )
        try:
            yield
        except BaseException as met:
            self._sound = False
            if isinstance(met, OSError):
                raise self._named(met) from met
            raise
        self._conditions.fine(_PLACE, str(self.path))

    def _take(self) -> None:
        """Leave our mark: who held the folder before, and goes on all the same, is refused."""
        self._streams.mkdir(parents=True, exist_ok=True)
        self._held = replace_file(self._streams / HOLDER, b"{}\n")

    def _named(self, met: OSError) -> MnedgeError:
        """Return the error that says which disk refuses, and why."""
        return self._conditions.failed(_PLACE, str(met.filename or self.path), met)

    def _sync_events(self) -> None:
        try:
            self._pages.events.synced()
        except OSError:
            self._doubt()
            raise

    # ---- after an fsync that failed ----

    def _is_in_doubt(self) -> bool:
        return (self._streams / DOUBT).exists()

    def _doubt(self) -> None:
        """Have all files written anew before the next fsync: the kernel calls those pages written.

        The mark need not survive a power cut: neither does what only seems to be written.
        """
        self._sound = False
        with suppress(OSError):
            (self._streams / DOUBT).touch()

    def _write_anew(self) -> None:
        """Put copies in the place of all our files.

        Raises: OSError.
        """
        self._pages.close()
        ours = [path for path in sorted(self._streams.iterdir()) if path.name != DOUBT]
        shown = [*self._pages.shown(), *(self.path / name for name in _JSON_FILES)]
        for path in [*ours, *shown]:
            content = read_plain(path)
            if content is not None:
                replace_file(path, content)
        self._held = stamp_of(self._streams / HOLDER)
        (self._streams / DOUBT).unlink(missing_ok=True)

    def _load(self) -> None:
        self._pages.close()
        self.path.mkdir(parents=True, exist_ok=True)
        remove_temporaries(self.path)
        remove_temporaries(self._streams)
        if self._is_in_doubt():
            self._write_anew()
        self._pages.load()
        tree, spec, job_id = self._redactor.tree, self._spec, self._identity.job_id
        job = job_json(spec, job_id, self._source, self._submitted_at)
        self._write("config.json", pretty(tree(spec.config)))
        self._write("inputs.json", pretty(tree(inputs_json(spec))))
        self._write("job.json", pretty(tree(job)))
        kept = read_plain(self.path / "run.json")
        if self._pages.tally.ended_type and kept is not None and self._is_over():
            self._write("run.json", kept)
            self._shown_status = self._pages.tally.status
        else:
            self._shown_status = ""
            self._show_status()
        self._sound = True

    def _is_over(self) -> bool:
        found = read_json(self.path / "run.json")
        return isinstance(found, dict) and found.get("status") in _OVER

    def _show_status(self) -> None:
        """Let run.json follow a run that is not over."""
        status = self._pages.tally.status
        if status == self._shown_status or self._closing is not None:
            return
        names = ("config.json", "inputs.json", "job.json", "run.json")
        streams = ("events.jsonl", "errors.jsonl", "timeline.jsonl")
        self._write("run.json", self._run_json(None, [*names, *streams]))
        self._shown_status = status

    def _run_json(self, closing: Closing | None, paths: Sequence[str]) -> bytes:
        record = run_json(
            self._identity,
            self._spec,
            self._pages.tally,
            closing,
            source=self._redactor.text(self._source),
            submitted_at=self._submitted_at,
            run_dir=str(self.path),
            artifacts={artifact_id(path): path for path in paths},
        )
        return pretty(record)

    def _write(self, name: str, content: bytes) -> None:
        """Make one of our files hold this, and remember what it looks like then."""
        path = self.path / name
        stamp = stamp_of(path)
        if stamp is None or stamp != self._stamps.get(name) or content != self._contents.get(name):
            if read_plain(path) != content:
                stamp = replace_file(path, content)
            if stamp is not None:
                self._stamps[name] = stamp
            self._contents[name] = content

    def _restore(self) -> None:
        """Write again those of our files that somebody changed."""
        for name, content in self._contents.items():
            self._write(name, content)

    # ---- the end ----

    def _closing_of(
        self,
        status: JobStatus,
        result: Any,
        error: dict[str, Any] | None,
        ended_at: float | None,
        reason: str,
        steps: Sequence[dict[str, Any]],
    ) -> Closing:
        tally, tree = self._pages.tally, self._redactor.tree
        if not reason and status is JobStatus.CANCELLED and isinstance(result, dict):
            given = result.get("reason")
            reason = given if isinstance(given, str) else ""
        if ended_at is None and not tally.ended_ts:
            ended_at = self._now()
        return Closing(
            status=status,
            result=tree(result),
            error=None if error is None else bounded_envelope(tree(error)),
            ended_ts=tally.ended_ts if ended_at is None else iso_ms(ended_at),
            reason=self._redactor.text(reason),
            steps=tree(list(steps)),
        )

    def _end(self, closing: Closing) -> None:
        """End the run in its events, where no event of the job did."""
        started = bool(self._pages.tally.started_ts)
        payload: dict[str, Any] = {"status": str(closing.status)}
        if closing.reason:
            payload["reason"] = closing.reason
        if closing.error is not None:
            payload["error"] = closing.error
        lines = self._renderer.ending(
            str(closing.status), closing.ended_ts, payload, started=started
        )
        ts = self._pages.tally.last_ts
        self._pages.add([Block(0, lines, ts, True)])

    def _close_with(self, closing: Closing) -> None:
        self._closing = closing
        warnings = [
            f"{name} was no JSON object and has been replaced"
            for name in ("result.json", "final_artifact.json")
            if self._is_spoilt(name)
        ]
        closing = msgspec.structs.replace(closing, warnings=warnings)
        self._keep_or_write("result.json", result_json(self._identity, closing))
        final = final_artifact_json(self._identity, self._spec, closing)
        self._keep_or_write("final_artifact.json", final)
        timeline = self._pages.mirrors["timeline"].stream
        start = max(0, timeline.size_bytes - TIMELINE_BYTES)
        lines = timeline.read(start).partition(b"\n")[2] if start else timeline.read()
        mirror = timeline_json(self._identity.job_id, lines, whole=not start)
        self._write("timeline.json", pretty(mirror))
        summary = summary_json(
            self._identity,
            self._pages.tally,
            closing,
            self._pages.counts,
            started_ts=self._pages.tally.started_ts or iso_ms(self._submitted_at),
            resources=resources_of(self.path),
            artifacts=artifact_records(self.path, changing=_CHANGING),
        )
        self._write("observability_summary.json", pretty(summary))
        paths = sorted({*artifact_paths(self.path), *_CHANGING})
        self._write("run.json", self._run_json(closing, paths))

    def _is_spoilt(self, name: str) -> bool:
        path = self.path / name
        return path.is_symlink() or (path.exists() and not isinstance(read_json(path), dict))

    def _keep_or_write(self, name: str, ours: dict[str, Any]) -> None:
        """Keep what a worker wrote, without secret values, or write ours."""
        found = read_json(self.path / name)
        if not isinstance(found, dict):
            self._write(name, pretty(ours))
            return
        clean = self._redactor.texts(found)
        content = read_plain(self.path / name) if clean == found else pretty(clean)
        if content is not None:
            self._write(name, content)


def forget_run(data_dir: Path, job_id: str) -> None:
    """Remove our own streams of a run; its folder stays as it is.

    Raises: RunIdInvalidError.
    """
    folder = run_folder_path(data_dir / STREAMS, job_id)
    shutil.rmtree(folder, ignore_errors=True)


def _log_level(config: dict[str, Any]) -> int | None:
    logging = config.get("logging")
    logging = logging if isinstance(logging, dict) else {}
    return None if logging.get("logs_jsonl") is False else level_of(logging.get("level"))
