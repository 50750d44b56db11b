"""What routes answer, as types: the OpenAPI description is made from them."""

from typing import Any

from msgspec import Struct, field

from mnedge.engine.inspect import AgentView
from mnedge.identity.audit_file import AuditRecord
from mnedge.identity.tokens import TokenRecord
from mnedge.model.records import JobRecord, OperatorRequest
from mnedge.model.states import JobStatus
from mnedge.runtime.definitions import Definition

Anything = dict[str, Any]


class Shape(Struct, frozen=True, kw_only=True):
    """Members of an answer."""


class Listed(Shape, frozen=True, kw_only=True):
    """One page of a list."""

    data: list[Anything]
    next: str | None = None
    """The `cursor` of the next page; null on the last."""


class Jobs(Shape, frozen=True, kw_only=True):
    """One page of jobs."""

    data: list[JobRecord]
    next: str | None = None


class Tokens(Shape, frozen=True, kw_only=True):
    """Tokens that this node issued."""

    data: list[TokenRecord]
    next: str | None = None


class AuditPage(Shape, frozen=True, kw_only=True):
    """One page of the audit record."""

    data: list[AuditRecord]
    next: str | None = None


class DefinitionsPage(Shape, frozen=True, kw_only=True):
    """One page of definitions."""

    data: list[Definition]
    next: str | None = None


class Health(Shape, frozen=True, kw_only=True):
    """How this node is."""

    status: str
    """`ok` or `degraded`."""
    component: str
    version: str
    node: str
    problems: list[Anything] = field(default_factory=list)


class JobView(Shape, frozen=True, kw_only=True):
    """A job with all that is known of it."""

    job: JobRecord
    summary: Anything
    agents: list[AgentView]
    workflow: Anything
    workflow_state: Anything
    human_requests: list[Anything]
    dead_letters: list[Anything]
    requests: list[OperatorRequest]
    """What operators asked and nobody has acted on yet."""
    holder: str | None
    last_fact: int
    events: int
    recent_events: list[Anything]
    """The newest first."""
    sandboxes: list[Anything]
    resource_usage: Anything


class Submitted(Shape, frozen=True, kw_only=True):
    """A job that was made."""

    job: JobRecord
    job_id: str
    id: str
    status: JobStatus
    links: dict[str, str] = field(default_factory=dict)
    warnings: list[Anything] = field(default_factory=list)


class Steered(Shape, frozen=True, kw_only=True):
    """What became of a request to a job."""

    job: JobRecord
    job_id: str
    status: JobStatus
    request: OperatorRequest
    settled: bool
    """False: it was only asked, or its owner has not acted in time; the request stands."""


class Retried(Shape, frozen=True, kw_only=True):
    """A failed job that goes on as a new one."""

    job: JobRecord
    job_id: str
    status: JobStatus
    retries: str
    kept: list[str]
    """Steps that are not done again."""


class Answered(Shape, frozen=True, kw_only=True):
    """What became of a person's answer."""

    job_id: str
    request_id: str
    decision: str
    settled: bool
    """False: the owner has not taken it yet."""


class Disposed(Shape, frozen=True, kw_only=True):
    """What became of dead letters."""

    job_id: str
    verb: str
    message_ids: list[str]
    settled: bool


class Steps(Shape, frozen=True, kw_only=True):
    """The steps of a job, in order."""

    job_id: str
    data: list[Anything]


class Agents(Shape, frozen=True, kw_only=True):
    """The agents of a job, in the order of its manifest."""

    job_id: str
    data: list[AgentView]


class Result(Shape, frozen=True, kw_only=True):
    """What a job came to."""

    job_id: str
    status: JobStatus
    result: Any
    error: Anything | None


class Graph(Shape, frozen=True, kw_only=True):
    """What a job is made of, as a graph."""

    name: str
    nodes: list[Anything]
    edges: list[Anything]
    stats: Anything = field(default_factory=dict)


class Records(Shape, frozen=True, kw_only=True):
    """Records of a stream."""

    data: list[Anything]
    next: str | None
    """What to ask `after` for what comes next."""


class Blueprints(Shape, frozen=True, kw_only=True):
    """Blueprints that this node has."""

    data: list[Anything]
    next: str | None = None


class Verdict(Shape, frozen=True, kw_only=True):
    """What the rules say of a bundle."""

    valid: bool
    blueprint_id: str | None
    errors: list[Anything]
    warnings: list[Anything]


class Artifacts(Shape, frozen=True, kw_only=True):
    """Files that a run left."""

    job_id: str
    data: list[Anything]


class Manual(Shape, frozen=True, kw_only=True):
    """Pages of the manual, in reading order."""

    data: list[Anything]


class Page(Shape, frozen=True, kw_only=True):
    """A page of the manual, in Markdown."""

    topic: str
    title: str
    summary: str
    text: str
