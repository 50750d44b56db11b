"""W3C trace context, and the spans of a job: their ids follow from the job's, so they survive.

The tree is intent → job → step → attempt → worker. A span id is derived from what the span stands
for; whoever opens the job again names it alike, so a trace goes on after a crash.
Source: W3C Trace Context level 1.
"""

import re
from hashlib import sha256
from typing import NamedTuple

SAMPLED = 1
"""Flag: somebody upstream records this trace."""
MOST_STATE_MEMBERS = 32
MOST_STATE_CHARS = 512

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE_MEMBER = re.compile(
    r"(?:[a-z][_0-9a-z*/-]{0,255}|[a-z0-9][_0-9a-z*/-]{0,240}@[a-z][_0-9a-z*/-]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)


class TraceParent(NamedTuple):
    """A position in a trace: lower-case hex, as on the wire."""

    trace_id: str
    span_id: str
    flags: int = SAMPLED

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    def at(self, span_id: str) -> "TraceParent":
        """Return another span of the same trace."""
        return self._replace(span_id=span_id)


def parsed(text: str) -> TraceParent | None:
    """Return what a `traceparent` says; None if it is none, as the standard tells them apart."""
    found = _PARENT.fullmatch(text.strip(" \t"))
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    known = version == "00"
    if version == "ff" or (known and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceParent(trace_id, span_id, int(flags, 16) & SAMPLED)


def parsed_state(text: str) -> str:
    """Return a `tracestate` made ready to be passed on; empty if it is none or far too long."""
    members = [member.strip(" \t") for member in text.split(",")]
    members = [member for member in members if member]
    keys = {member.partition("=")[0] for member in members}
    fits = len(keys) == len(members) <= MOST_STATE_MEMBERS
    if not fits or not all(_STATE_MEMBER.fullmatch(member) for member in members):
        return ""
    joined = ",".join(members)
    return joined if len(joined) <= MOST_STATE_CHARS else ""


def job_context(job_id: str, trace_parent: str = "") -> TraceParent:
    """Return the span of a job: in the trace of the request that made it, else in its own."""
    asked = parsed(trace_parent)
    trace_id = derived_trace_id(f"job:{job_id}") if asked is None else asked.trace_id
    flags = SAMPLED if asked is None else asked.flags
    return TraceParent(trace_id, job_span_id(job_id), flags)


def trace_id_of(job_id: str, trace_parent: str = "") -> str:
    """Return the trace that a job belongs to, for ever."""
    return job_context(job_id, trace_parent).trace_id


def launch_context(job_id: str, work_id: str, launch: int, trace_parent: str = "") -> TraceParent:
    """Return the span of one launch of an attempt or a module agent's call: a worker's parent."""
    return job_context(job_id, trace_parent).at(launch_span_id(job_id, work_id, launch))


def job_span_id(job_id: str) -> str:
    """Return the id of the span that is the whole job."""
    return derived_span_id(f"job:{job_id}")


def step_span_id(job_id: str, step_id: str) -> str:
    """Return the id of the span of a step, all its attempts included."""
    return derived_span_id(f"step:{job_id}:{step_id}")


def launch_span_id(job_id: str, work_id: str, launch: int) -> str:
    """Return the id of the span of one launch; a relaunch is a span of its own."""
    return derived_span_id(f"launch:{job_id}:{work_id}:{launch}")


def derived_trace_id(text: str) -> str:
    """Return 32 hex digits that follow from `text`, never all zero."""
    return _hex(text, 32)


def derived_span_id(text: str) -> str:
    """Return 16 hex digits that follow from `text`, never all zero."""
    return _hex(text, 16)


def _hex(text: str, digits: int) -> str:
    found = sha256(f"trace:{text}".encode(errors="surrogatepass")).hexdigest()[:digits]
    return found if int(found, 16) else found[:-1] + "1"
