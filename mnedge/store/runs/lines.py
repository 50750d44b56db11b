"""A job's events as lines of `events.jsonl`.

Most events tell which message came where. For those, and for any other without a secret in it, a
line is put together from pieces that were encoded once. The others go the long way: as a record
that is redacted and bounded.

Lines beside the engine's own (`run_started`, `inputs_loaded`, `run_completed`, …) follow from those
that begin and end a job. They carry no `seq`, stand right behind the line they follow from (whose
span is their `parent_span_id`), and their ids follow from its number.
"""

from base64 import urlsafe_b64encode
from binascii import b2a_base64
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from mnedge.model.body import cleaned
from mnedge.model.events import Event, payload_of
from mnedge.model.message import Message, iso_ms
from mnedge.model.redaction import Redactor
from mnedge.store.runs.bounds import RECORD_BYTES, bounded_line, encode
from mnedge.store.runs.derived import envelope_for
from mnedge.store.runs.kinds import Kind, kind_of

ENDINGS = {
    "job_completed": "run_completed",
    "job_failed": "run_failed",
    "job_cancelled": "run_cancelled",
}
"""Event of the engine → the event of the run that follows from it."""
RUN_TYPES = frozenset({"run_started", "inputs_loaded", *ENDINGS.values()})
END = "end"
"""The cause of a last line that no event of the job has caused."""
CACHE = 4096
"""Encoded pieces of each sort that are kept."""
_LAST_SECOND = 253_402_300_799
"""The last one of the year 9999."""
_URL_SAFE = bytes.maketrans(b"+/", b"-_")

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

_json_text = msgspec.json.Encoder().encode


class Identity(Struct, frozen=True, kw_only=True):
    """What every record of a run says."""

    job_id: str
    blueprint_id: str
    trace_id: str
    adapter: str = ""
    """How the inputs came."""
    inputs: dict[str, Any] = msgspec.field(default_factory=dict)
    """The payload of `inputs_loaded`."""


class Block(Struct, frozen=True, gc=False):
    """A noted event's line and those that follow from it, or the lines of some that are not."""

    seq: int
    """Of the last event in it; 0 if it holds none of the job's."""
    lines: bytes
    ts: str
    noted: bool
    """More than the line follows from it: other records, a status, a number of the summary."""
    ours: bool = True
    """False for what a worker wrote."""


class _Draft(NamedTuple):
    line: bytes
    payload: bytes
    kind: Kind
    named: bool
    """The payload has fields whose names nobody here has chosen."""


class Renderer:
    """Makes the lines of one run."""

    def __init__(self, identity: Identity, redactor: Redactor) -> None:
        self.identity = identity
        self.redactor = redactor
        job, blueprint = _json_text(identity.job_id), _json_text(identity.blueprint_id)
        self._hash = sha256(f"{identity.job_id}:".encode())
        self._blueprint = b'"blueprint_id":' + blueprint + b',"event_id":"evt_'
        self._job = b'","job_id":' + job + b',"payload":'
        self._run = b',"run_id":' + job + b',"seq":'
        self._trace = b'"trace_id":' + _json_text(identity.trace_id) + b',"ts":"'
        self._heads: dict[str | None, bytes] = {}
        self._steps: dict[str | None, bytes] = {}
        self._types: dict[str, tuple[Kind, bytes]] = {}
        self._manners: dict[tuple[str, str, str], bytes] = {}
        self._senders: dict[str, bytes] = {}
        self._endings: dict[tuple[str, str], bytes] = {}
        self._at: float | None = None
        self._ts = ""
        self._ts_bytes = b""
        self._second = -1
        self._to_second = ""

    def blocks(self, events: Sequence[Event], *, started: bool) -> list[Block]:
        """Return the lines of these events; `started` tells whether the run has begun before."""
        drafts = self._drafts(events)
        redactor = self.redactor
        careful = redactor.touches_text(
            b"".join([draft.payload for draft in drafts])
        ) or redactor.touches_names(b"".join([draft.payload for draft in drafts if draft.named]))
        blocks: list[Block] = []
        plain: list[bytes] = []
        last = events[0]
        for event, draft in zip(events, drafts, strict=True):
            line, kind = draft.line, draft.kind
            if (
                kind.by_record
                or not 0 < len(line) <= RECORD_BYTES
                or (careful and self._touches(draft))
            ):
                line = bounded_line(self.record(event, kind)) + b"\n"
            if not kind.noted:
                plain.append(line)
                last = event
                continue
            if kind.bounds_run:
                line += self._around(event, started)
                started = True
            if plain:
                blocks.append(Block(last.seq, b"".join(plain), self._ts_of(last.at), False))
                plain = []
            blocks.append(Block(event.seq, line, self._ts_of(event.at), True))
        if plain:
            blocks.append(Block(last.seq, b"".join(plain), self._ts_of(last.at), False))
        return blocks

    def record(self, event: Event, kind: Kind) -> dict[str, Any]:
        """Return the redacted record of an event."""
        event_id, span_id = event_ids(self.identity.job_id, event.seq)
        text = self.redactor.text
        payload = _plain_payload(event, self.identity.job_id)
        record: dict[str, Any] = {
            "agent_id": None if event.agent_id is None else text(event.agent_id),
            "blueprint_id": self.identity.blueprint_id,
            "event_id": event_id,
            "job_id": self.identity.job_id,
            "payload": self.redactor.tree(payload),
            "run_id": self.identity.job_id,
            "seq": event.seq,
            "span_id": span_id,
            "step_id": None if event.step_id is None else text(event.step_id),
            "trace_id": self.identity.trace_id,
            "ts": iso_ms(event.at),
            "type": text(event.type),
        }
        record = {name: value for name, value in record.items() if value is not None}
        if kind.human:
            record["channel"] = "human"
        if kind.failure:
            record["error"] = envelope_for(record, self.identity.job_id, record)
        return record

    def ending(self, status: str, ts: str, payload: dict[str, Any], *, started: bool) -> bytes:
        """Return the lines that end a run although no event has ended it."""
        end = self._extra(f"run_{status}", END, ts, payload, None)
        return end if started else self._opened(END, ts, None) + end

    def _drafts(self, events: Sequence[Event]) -> list[_Draft]:
        """Return lines as they are if nothing has to be hidden; empty where that is impossible."""
        drafts: list[_Draft] = []
        types = self._types
        for event in events:
            kind, type_ = types.get(event.type) or self._type(event.type)
            payload, named = event.payload, True
            try:
                if isinstance(payload, Message):
                    named = payload.stream is not None
                    encoded = self._summary(payload)
                else:
                    for value in payload.values():
                        if type(value) is Message:
                            payload = _plain_payload(event, self.identity.job_id)
                            break
                    encoded = encode(payload)
                line = self._line(event, encoded, type_)
            except UnicodeEncodeError:
                encoded = line = b""
            drafts.append(_Draft(line, encoded, kind, named))
        return drafts

    def _line(self, event: Event, payload: bytes, type_: bytes) -> bytes:
        seq, at = b"%d" % event.seq, event.at
        hash_ = self._hash.copy()
        hash_.update(seq)
        ids = b2a_base64(hash_.digest()[:24], newline=False).translate(_URL_SAFE)
        if at != self._at:
            self._ts_of(at)
        return b"".join(
            (
                self._heads.get(event.agent_id) or self._head(event.agent_id),
                ids[:16],
                self._job,
                payload,
                self._run,
                seq,
                b',"span_id":"spn_',
                ids[16:],
                self._steps.get(event.step_id) or self._step(event.step_id),
                self._trace,
                self._ts_bytes,
                type_,
            )
        )

    def _ts_of(self, at: float) -> str:
        """Return `iso_ms(at)`; the calendar is asked once a second."""
        if at != self._at:
            second, ms = divmod(int(at * 1000 + 0.5), 1000)
            if second != self._second:
                self._second, self._to_second = second, iso_ms(at)[:-4]
            known = 0 < second < _LAST_SECOND
            self._at, self._ts = at, f"{self._to_second}{ms:03d}Z" if known else iso_ms(at)
            self._ts_bytes = self._ts.encode()
        return self._ts

    def _summary(self, message: Message) -> bytes:
        """Return the JSON of `mnedge.model.message.summary`, its members in order."""
        manner = (message.class_, message.content_encoding, message.content_type)
        sender, ending = message.sender, (message.to, message.type)
        stream, cause = message.stream, message.causation_id
        return b"".join(
            (
                b'{"causation_id":null'
                if cause is None
                else b'{"causation_id":' + _json_text(cause),
                self._manners.get(manner) or self._manner(manner),
                _json_text(message.correlation_id),
                self._senders.get(sender) or self._sender(sender),
                _json_text(message.message_id),
                b',"stream":null' if stream is None else b',"stream":' + encode(stream),
                self._endings.get(ending) or self._ending(ending),
            )
        )

    def _touches(self, draft: _Draft) -> bool:
        return self.redactor.touches_text(draft.payload) or (
            draft.named and self.redactor.touches_names(draft.payload)
        )

    def _around(self, event: Event, started: bool) -> bytes:
        """Return the lines of the run itself that follow from an event of its job."""
        lines: list[bytes] = []
        ts, parent = self._ts_of(event.at), event_ids(self.identity.job_id, event.seq)[1]
        if not started:
            lines.append(self._opened(str(event.seq), ts, parent))
        if event.type in ENDINGS:
            payload = _plain_payload(event, self.identity.job_id)
            kept = {name: payload[name] for name in ("reason", "error") if payload.get(name)}
            status = ENDINGS[event.type].removeprefix("run_")
            lines.append(
                self._extra(f"run_{status}", str(event.seq), ts, {"status": status, **kept}, parent)
            )
        return b"".join(lines)

    def _opened(self, cause: str, ts: str, parent: str | None) -> bytes:
        trigger = {"trigger": "manual", "adapter": self.identity.adapter}
        return self._extra("run_started", cause, ts, trigger, parent) + self._extra(
            "inputs_loaded", cause, ts, self.identity.inputs, parent
        )

    def _extra(
        self, type_: str, cause: str, ts: str, payload: dict[str, Any], parent: str | None
    ) -> bytes:
        identity = self.identity
        name, span = extra_ids(identity.job_id, cause, type_)
        record: dict[str, Any] = {
            "blueprint_id": identity.blueprint_id,
            "event_id": name,
            "job_id": identity.job_id,
            "payload": self.redactor.tree(payload),
            "run_id": identity.job_id,
            "span_id": span,
            "trace_id": identity.trace_id,
            "ts": ts,
            "type": type_,
        }
        if parent is not None:
            record["parent_span_id"] = parent
        if kind_of(type_).failure:
            record["error"] = envelope_for(record, identity.job_id, record)
        return bounded_line(record) + b"\n"

    # ---- pieces that are encoded once ----

    def _type(self, type_: str) -> tuple[Kind, bytes]:
        kind = kind_of(type_)
        shown = self.redactor.text(type_)
        return _kept(self._types, type_, (kind, b'","type":' + encode(shown) + b"}\n"))

    def _head(self, agent_id: str | None) -> bytes:
        agent = b"" if agent_id is None else b'"agent_id":' + self._clean(agent_id) + b","
        return _kept(self._heads, agent_id, b"{" + agent + self._blueprint)

    def _step(self, step_id: str | None) -> bytes:
        step = b"" if step_id is None else b'"step_id":' + self._clean(step_id) + b","
        return _kept(self._steps, step_id, b'",' + step)

    def _clean(self, text: str) -> bytes:
        return _json_text(self.redactor.text(text))

    def _manner(self, key: tuple[str, str, str]) -> bytes:
        class_, encoding, content = map(_json_text, key)
        return _kept(
            self._manners,
            key,
            b',"class":%b,"content_encoding":%b,"content_type":%b,"correlation_id":'
            % (class_, encoding, content),
        )

    def _sender(self, sender: str) -> bytes:
        return _kept(self._senders, sender, b',"from":' + _json_text(sender) + b',"message_id":')

    def _ending(self, key: tuple[str, str]) -> bytes:
        to, type_ = _json_text(key[0] or None), _json_text(key[1])
        return _kept(self._endings, key, b',"to":%b,"type":%b}' % (to, type_))


def event_ids(job_id: str, seq: int) -> tuple[str, str]:
    """Return event id and span id of an event of the job."""
    digest = sha256(f"{job_id}:{seq}".encode()).digest()
    ids = urlsafe_b64encode(digest[:24]).decode()
    return f"evt_{ids[:16]}", f"spn_{ids[16:]}"


def extra_ids(job_id: str, cause: str, type_: str) -> tuple[str, str]:
    """Return event id and span id of a line of the run itself; `cause` is a `seq`, or `END`."""
    digest = sha256(f"{job_id}:{cause}:{type_}".encode()).digest()
    ids = urlsafe_b64encode(digest[:24]).decode()
    return f"evt_{ids[:16]}", f"spn_{ids[16:]}"


def _plain_payload(event: Event, job_id: str) -> dict[str, Any]:
    try:
        return payload_of(event, job_id)
    except RecursionError:
        plain: dict[str, Any] = cleaned(event.payload)
        return plain


def _kept(pieces: dict[_Key, _Value], key: _Key, value: _Value) -> _Value:
    if len(pieces) >= CACHE:
        pieces.clear()
    pieces[key] = value
    return value
