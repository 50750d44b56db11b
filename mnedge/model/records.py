"""What the table keeps about a job and what people ask of it."""

from typing import Any

from msgspec import Struct, field

from mnedge.model.states import JobStatus, Verb


class JobRecord(Struct, kw_only=True, omit_defaults=True, frozen=True):
    """One job, as lists and `job show` read it. The journal is the truth; this row follows it.

    Key `job/<job_id>`. The lowered spec stands beside it under `spec/<job_id>`.
    """

    job_id: str
    graph_id: str
    job_name: str
    blueprint_id: str
    status: JobStatus
    submitted_at: float
    updated_at: float
    job_type: str = "batch"
    recovery_mode: str = "local_restart"
    engine_revision: int = 1
    bundle_digest: str | None = None
    """Blob that holds the packed bundle."""
    bundle_source: str = ""
    """The folder or archive it was submitted from, for people."""
    run_folder: str = ""
    config_sources: list[str] = field(default_factory=list)
    result: Any = None
    error: dict[str, Any] | None = None
    started_at: float | None = None
    ended_at: float | None = None
    agents: int = 0
    events: int = 0
    """Events published so far."""
    fault: dict[str, Any] | None = None
    """`{fact_seq, error}` when the engine refused a fact."""
    review: str | None = None
    """Why the job waits for a person after a crash (`manual_recover`)."""
    waiting_for_human: int = 0
    """Requests that wait for a person's answer."""
    trace_parent: str = ""
    """W3C `traceparent` of the request that made the job; empty: the job begins its own trace."""
    trace_state: str = ""
    """The `tracestate` that came with it."""
    submitted_by: str = ""
    """Who asked for it, as the audit record calls them."""
    definition_id: str = ""
    """The definition it was started from."""


class OperatorRequest(Struct, kw_only=True, omit_defaults=True, frozen=True):
    """A row by which any process reaches the owner of a job. Key `ask/<job_id>/<request_id>`."""

    request_id: str
    job_id: str
    verb: Verb
    asked_at: float
    by: str = ""
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    """As in the fact `OperatorAsked`."""
