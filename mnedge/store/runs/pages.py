"""The five JSONL files of a run kept together: events first, and what follows from them.

The event stream is the truth. Records in the other streams follow from its lines, so after a crash
those that are missing are made again. A stream is rotated only after all that follows from its
lines is written; so what may be missing follows from lines of the current file.
"""

from collections.abc import Iterable, Sequence
from functools import cache, partial
from pathlib import Path

import msgspec

from mnedge import faults
from mnedge.model.artifacts import artifact_id
from mnedge.model.redaction import Redactor
from mnedge.ports import Clock
from mnedge.store.runs.derived import Derived, Deriver
from mnedge.store.runs.files import pretty, read_plain, replace_file
from mnedge.store.runs.foreign import Adopter
from mnedge.store.runs.kinds import kind_of
from mnedge.store.runs.lines import Block, Identity
from mnedge.store.runs.mending import (
    counted_again,
    decode_head,
    derived_from,
    drop_ahead,
    later_ids,
    not_in,
    rewrite,
    split_at,
    ts_of_ends,
    whole_lines,
    without,
)
from mnedge.store.runs.mirror import Mirror
from mnedge.store.runs.records import Counts
from mnedge.store.runs.rewrites import Rewrites
from mnedge.store.runs.spoken import Spoken, Spool
from mnedge.store.runs.stream import Stream, segment_name
from mnedge.store.runs.tally import Tally

INDEXED = ("events", "errors", "logs")
FOLLOWING = ("errors", "timeline", "logs", "human")


class Pages:
    """All streams of a run with their mirrors. Not open before `load`."""

    def __init__(
        self,
        folder: Path,
        run_dir: Path,
        identity: Identity,
        redactor: Redactor,
        deriver: Deriver,
        *,
        now: Clock,
    ) -> None:
        self._run_dir = run_dir
        self._job_id = identity.job_id
        self._deriver = deriver
        self._adopter = Adopter(identity, redactor)
        self._rewrites = Rewrites(now)
        self.spool = Spool(folder, identity.job_id)
        streams = [
            Stream(folder, name, rotates=name in INDEXED, busy=name == "events")
            for name in ("events", *FOLLOWING)
        ]
        self.mirrors = {
            stream.name: Mirror(stream, run_dir, optional=stream.name in ("human", "logs"))
            for stream in streams
        }
        self.events = self.mirrors["events"].stream
        self.tally = Tally()

    @property
    def is_behind(self) -> bool:
        """True if `events.jsonl` does not show all yet: `merge` or the next `add` will."""
        return self.mirrors["events"].is_behind

    @property
    def counts(self) -> Counts:
        """How many lines each stream has seen."""
        return Counts(
            **{
                name: self.mirrors[name].stream.records
                for name in ("events", "errors", "timeline", "logs")
            }
        )

    def load(self) -> None:
        """Read all streams again and mend what a crash left; take in what workers wrote.

        Raises: OSError.
        """
        for mirror in self.mirrors.values():
            mirror.stream.load()
        self.spool.load()
        self.tally, derived = counted_again(self.events, self._deriver, self._job_id)
        following = [self.mirrors[name].stream for name in FOLLOWING]
        drop_ahead(self.events, following, self._job_id, self.tally)
        self._follow(derived, only_new=True, show=False)
        for mirror in self.mirrors.values():
            mirror.load()
            self._show_index(mirror)
        self._adopter.later = cache(partial(later_ids, self._job_id, self.tally.last_seq))
        for mirror in self.mirrors.values():
            self._absorb(mirror, thoroughly=True, halves=False)
        self._adopter.later = frozenset

    def add(self, blocks: Sequence[Block]) -> None:
        """Append events, and all that follows from them, everywhere.

        A file that others write to again and again is left for a while as they left it.
        Raises: OSError; the streams must be loaded again then.
        """
        mirror = self.mirrors["events"]
        show = True
        if not mirror.undisturbed or mirror.is_behind:
            show = not self._puts_off(mirror, sum(len(block.lines) for block in blocks))
            if show:
                self._absorb(mirror, thoroughly=False)
        self._add(blocks, show=show)

    def merge(self, *, thoroughly: bool = False) -> None:
        """Take in what workers wrote into any of the files, and show ours again.

        Raises: OSError.
        """
        for mirror in self.mirrors.values():
            if thoroughly or not (mirror.quiet or self._puts_off(mirror)):
                self._absorb(mirror, thoroughly=thoroughly)

    def listen(self) -> list[Spoken]:
        """Return what others wrote into `human.jsonl` and nobody was told yet.

        Raises: OSError.
        """
        mirror = self.mirrors["human"]
        if not mirror.quiet:
            self._absorb(mirror, thoroughly=False)
        return self.spool.new()

    def cut(self, seq: int) -> None:
        """Forget the events after this number, and what followed from them.

        Raises: OSError.
        """
        cut: list[bytes] = []
        while True:
            content = self.events.read()
            kept, gone = split_at(content, seq)
            cut += gone
            rewrite(self.events, content, kept)
            if kept or not self.events.segments:
                break
            number = self.events.segments[-1].number
            self.events.cut_segments(number)
            self.mirrors["events"].withdraw(number)
        for name in FOLLOWING:
            stream = self.mirrors[name].stream
            content = stream.read()
            rewrite(stream, content, without(content, cut))
        for mirror in self.mirrors.values():
            mirror.rebuild()
        self.load()

    def shown(self) -> list[Path]:
        """Return the files of the run folder that show our streams; some may not be there."""
        return [
            self._run_dir / name
            for stream in (mirror.stream for mirror in self.mirrors.values())
            for name in (
                f"{stream.name}.jsonl",
                f"{stream.name}.index.json",
                *(segment_name(stream.name, segment.number) for segment in stream.segments),
            )
        ]

    def synced(self) -> None:
        """Return when our streams are on the disk.

        Raises: OSError.
        """
        for mirror in self.mirrors.values():
            mirror.stream.synced()

    def close(self) -> None:
        """Let go of all files."""
        for mirror in self.mirrors.values():
            mirror.close()
            mirror.stream.close()

    # ---- adding ----

    def _add(self, blocks: Sequence[Block], *, show: bool) -> None:
        for part in self._parts(blocks):
            if part:
                self._put(part, show=show)
            else:
                self._rotate(self.mirrors["events"])

    def _parts(self, blocks: Sequence[Block]) -> Iterable[Sequence[Block]]:
        """Yield blocks that fit into the current file, and an empty list where the next begins."""
        room = self.events.room_bytes
        if room is None or sum(len(block.lines) for block in blocks) <= room:
            yield blocks
            return
        part: list[Block] = []
        size_bytes = 0
        for block in _taken_apart(blocks):
            if size_bytes + len(block.lines) > (self.events.room_bytes or 0):
                if part:
                    yield part
                if self.events.size_bytes:
                    yield []
                part, size_bytes = [], 0
            part.append(block)
            size_bytes += len(block.lines)
        yield part

    def _put(self, blocks: Sequence[Block], *, show: bool) -> None:
        lines = b"".join([block.lines for block in blocks])
        self.events.append(lines)
        faults.hit("publish.during")
        derived: list[Derived] = []
        tally = self.tally
        for block in blocks:
            if block.noted:
                tally.last_ts = block.ts
                for line in whole_lines(block.lines):
                    derived += derived_from(line[:-1], tally, self._deriver, ours=block.ours)
        if blocks[-1].seq:
            tally.last_ts, tally.last_seq = blocks[-1].ts, blocks[-1].seq
        if derived:
            self._follow(derived, only_new=not blocks[0].ours)
        if show:
            self.mirrors["events"].append(lines)

    def _follow(
        self, derived: Sequence[Derived], *, only_new: bool = False, show: bool = True
    ) -> None:
        """Write what follows from events; `only_new`: some of it may be there already."""
        for name in FOLLOWING:
            found = [one for one in derived if getattr(one, name) is not None]
            mirror = self.mirrors[name]
            if found and only_new:
                if show and not mirror.undisturbed:
                    self._absorb(mirror, thoroughly=False)
                found = not_in(mirror.stream, found)
            if found:
                self._write(mirror, [getattr(one, name) for one in found], show=show)

    def _write(self, mirror: Mirror, lines: Sequence[bytes], *, show: bool) -> None:
        """Add lines to a stream that follows; each file of it is as full as it can be."""
        if show and not mirror.undisturbed:
            self._absorb(mirror, thoroughly=False)
        stream = mirror.stream
        waiting: list[bytes] = []
        size_bytes = 0
        for line in lines:
            room = stream.room_bytes
            if (
                room is not None
                and size_bytes + len(line) + 1 > room
                and (waiting or stream.size_bytes)
            ):
                self._flush(mirror, waiting, show=show)
                waiting, size_bytes = [], 0
                self._rotate(mirror)
            waiting.append(line)
            size_bytes += len(line) + 1
        self._flush(mirror, waiting, show=show)

    def _flush(self, mirror: Mirror, lines: Sequence[bytes], *, show: bool) -> None:
        if not lines:
            return
        data = b"\n".join(lines) + b"\n"
        mirror.stream.append(data)
        if show:
            mirror.append(data)

    def _rotate(self, mirror: Mirror) -> None:
        stream = mirror.stream
        first_ts, last_ts = ts_of_ends(stream)
        checkpoint = msgspec.to_builtins(self.tally) if stream is self.events else {}
        stream.rotate(first_ts=first_ts, last_ts=last_ts, checkpoint=checkpoint)
        mirror.begin_next(stream.segments[-1])
        self._show_index(mirror)

    # ---- what workers wrote ----

    def _absorb(self, mirror: Mirror, *, thoroughly: bool, halves: bool = True) -> None:
        """Take the lines of others into the stream, and make the file show it."""
        stream = mirror.stream
        foreign = mirror.foreign(thoroughly=thoroughly, halves=halves)
        segments, shown = stream.segments, stream.size_bytes
        lines: list[bytes] = []
        if stream.name != "timeline":
            lines = self._adopter.adopted(foreign, stream, self.tally.last_ts)
        if stream is self.events:
            if lines:
                self._add([self._foreign_block(line) for line in lines], show=False)
        else:
            if lines and stream.name == "human":
                self.spool.add(lines)
            self._write(mirror, lines, show=False)
        added = stream.size_bytes - shown
        if foreign.in_place and stream.segments is segments and lines == foreign.lines:
            mirror.accept(added)
        else:
            self._rewrites.spend(stream.size_bytes)
            mirror.rebuild()

    def _puts_off(self, mirror: Mirror, added_bytes: int = 0) -> bool:
        """Tell whether it is too early to write the file anew; before the next begins it is not."""
        room = mirror.stream.room_bytes
        if mirror.stream is not self.events or (room is not None and added_bytes > room):
            return False
        return not self._rewrites.affords(mirror.stream.size_bytes + added_bytes)

    def _foreign_block(self, line: bytes) -> Block:
        noted = kind_of(str(decode_head(line).type)).noted
        return Block(0, line + b"\n", self.tally.last_ts, noted, ours=False)

    def _show_index(self, mirror: Mirror) -> None:
        """Keep `<stream>.index.json` in step with the full files."""
        stream = mirror.stream
        if not stream.segments:
            return
        index = pretty(
            {
                "stream": stream.name,
                "current": f"{stream.name}.jsonl",
                "segments": [
                    {
                        "path": segment_name(stream.name, segment.number),
                        "artifact_id": artifact_id(segment_name(stream.name, segment.number)),
                        "size_bytes": segment.size_bytes,
                        "sha256": segment.sha256,
                        "records": segment.records,
                        "first_ts": segment.first_ts,
                        "last_ts": segment.last_ts,
                    }
                    for segment in stream.segments
                ],
            }
        )
        path = self._run_dir / f"{stream.name}.index.json"
        if read_plain(path) != index:
            replace_file(path, index)


def _taken_apart(blocks: Iterable[Block]) -> Iterable[Block]:
    """Yield each event on its own."""
    for block in blocks:
        if block.noted or not block.seq:
            yield block
            continue
        for line in whole_lines(block.lines):
            head = decode_head(line)
            yield Block(head.seq, line, head.ts, False)
