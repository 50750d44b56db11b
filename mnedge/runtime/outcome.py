"""What a job came to, also where that is too large for its record and stands in the run folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from mnedge.errors import ConflictError, NotFoundError
from mnedge.model.records import JobRecord
from mnedge.model.states import JobStatus
from mnedge.store.runs.files import read_json


class NoResultError(ConflictError):
    """The job has not completed, so there is no result."""

    code = "job.no_result"


class ResultGoneError(NotFoundError):
    """The result stood in the run folder only, and is not there any more."""

    code = "job.result_gone"


def with_result(record: JobRecord) -> JobRecord:
    """Return the record of a completed job with its result.

    Raises: ResultGoneError.
    """
    if record.status is not JobStatus.COMPLETED or record.result is not None:
        return record
    place = Path(record.run_folder) / "result.json"
    kept = read_json(place) if record.run_folder else None
    if not isinstance(kept, Mapping):
        raise ResultGoneError(
            f"the result of job {record.job_id} stood in {place}, which cannot be read",
            hint="bring the run folder back; large results stand there only",
            details={"path": str(place)},
        )
    return msgspec.structs.replace(record, result=kept.get("result"))


def with_result_if_kept(record: JobRecord) -> JobRecord:
    """Return the record with its result, or as it is if that is gone."""
    try:
        return with_result(record)
    except ResultGoneError:
        return record


def output_of(record: JobRecord) -> Any:
    """Return what the job came to, without the wrapping of the record."""
    result = record.result
    if isinstance(result, Mapping) and set(result) == {"agent_id", "output"}:
        return result["output"]
    return result
