"""What verbs need of a node, whoever answers: a daemon, or the store in this process.

What a verb says is the same for both.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from mnedge.errors import NotFoundError
from mnedge.model.artifacts import find_artifact
from mnedge.model.records import JobRecord, OperatorRequest
from mnedge.model.states import JobStatus, Verb
from mnedge.runtime.view import JobView
from mnedge.store.runs.readers import Record

if TYPE_CHECKING:
    from mnedge.runtime.definitions import Definition

Take = Callable[[list[Record]], object]


class ArtifactUnknownError(NotFoundError):
    """The run left no such file."""

    code = "artifact.unknown"


class Look(NamedTuple):
    """A job with all that is known of it."""

    view: JobView
    requests: Sequence[OperatorRequest]
    """What nobody has acted on yet."""


class Steered(NamedTuple):
    """What became of a request to a job."""

    record: JobRecord
    acted: bool
    owned: bool


class Answered(NamedTuple):
    """What became of a person's answer."""

    record: JobRecord
    waiting: Mapping[str, Any]
    """The request that it answers."""
    details: Mapping[str, Any]
    acted: bool
    owned: bool


class Disposed(NamedTuple):
    """What became of dead letters."""

    job_id: str
    message_ids: list[str]
    acted: bool
    owned: bool


class Made(NamedTuple):
    """A job that was made."""

    record: JobRecord
    kept: list[str]
    """Steps that a retry need not do again."""
    daemon: str | None
    """Who runs it; None: nobody yet."""


class Stream(Protocol):
    """Records of a job, from where it was opened."""

    async def look(self) -> list[Record]:
        """Return what is there and was not told yet."""

    async def follow(self, take: Take) -> None:
        """Hand over what comes until the job is over."""


class Desk(Protocol):
    """Takes what verbs ask for. Errors are those of `runtime`, wherever they come from."""

    @property
    def where(self) -> str:
        """What people call it; empty if it is this process."""

    async def find(self, job_id: str) -> JobRecord:
        """Return a job by id, by the beginning of one, or `last`."""

    async def jobs(self, statuses: Collection[JobStatus], limit: int | None) -> list[JobRecord]:
        """Return jobs, the one that changed last first."""

    async def look(self, job_id: str) -> Look:
        """Return a job as it is inside."""

    async def with_result(self, record: JobRecord) -> JobRecord:
        """Return the record with its result, wherever that stands."""

    async def events(self, record: JobRecord, after: int = 0) -> Stream:
        """Open the events of a job."""

    async def logs(self, record: JobRecord) -> Stream:
        """Open what a job logs, and what its workers write."""

    async def steer(self, job_id: str, verb: Verb, reason: str, wait_s: float) -> Steered:
        """Ask for a verb; `wait_s`: how long to wait for it, 0 only asks."""

    async def answer(
        self, job_id: str, decision: str, request_id: str | None, comment: str,
        more: Mapping[str, Any], wait_s: float,
    ) -> Answered:  # fmt: skip
        """Answer what a job asks a person."""

    async def requests(self, job_id: str | None) -> list[tuple[str, Sequence[Mapping[str, Any]]]]:
        """Return what waits for a person, by job."""

    async def dispose(self, job_id: str, verb: Verb, message_id: str, wait_s: float) -> Disposed:
        """Have dead letters delivered again, or forgotten."""

    async def retry(self, job_id: str, run_id: str | None) -> Made:
        """Go on with a failed job as a new one; nobody here runs it."""

    async def submit(self, body: Mapping[str, Any]) -> Made:
        """Have a blueprint run, given as `POST /jobs` takes it."""

    async def runs(self, blueprint_id: str | None, limit: int | None) -> list[Record]:
        """Return run folders, the one that changed last first."""

    async def run(self, run_id: str) -> dict[str, Any]:
        """Return `run`, `final_artifact` and `observability_summary` of a run folder."""

    async def artifacts(self, job_id: str) -> tuple[str, list[Record]]:
        """Return the job's id and the files that it left."""

    async def fetch(self, job_id: str, path: str, write: Callable[[bytes], object]) -> None:
        """Hand over a file that a job left."""

    async def definitions(self, include_archived: bool) -> "list[Definition]":
        """Return what can be started again."""

    async def definition(self, definition_id: str) -> "Definition":
        """Return one of them."""

    async def define(
        self, manifest: dict[str, Any], payloads: Mapping[str, bytes], definition_id: str | None,
        configuration: Mapping[str, Any] | None,
    ) -> "Definition":  # fmt: skip
        """Keep a bundle to be started later."""

    async def start(
        self, definition_id: str, run_id: str | None, inputs: Mapping[str, Any] | None
    ) -> Made:
        """Start a definition once more."""

    async def archive(self, definition_id: str) -> "Definition":
        """Take no more runs of a definition."""

    async def undefine(self, definition_id: str) -> "Definition":
        """Forget a definition."""

    async def runs_of(self, definition_id: str) -> list[JobRecord]:
        """Return the jobs of a definition."""

    async def health(self) -> dict[str, Any]:
        """Return how the node is: `status`, `version`, `node`, `problems`."""

    async def nodes(self) -> list[Record]:
        """Return nodes."""

    async def resources(self) -> dict[str, Any]:
        """Return what the machine has, and how full its pools are."""


def chosen_file(job_id: str, wanted: str, known: Sequence[str]) -> str:
    """Return the path of the file that is meant, of those that a job left.

    Raises: ArtifactUnknownError.
    """
    named = wanted if wanted in known else find_artifact(wanted, known)
    if named is None:
        raise ArtifactUnknownError(
            f"job {job_id} left no file {wanted!r}",
            hint=f"mnedge job artifacts {job_id} lists them",
        )
    return named
