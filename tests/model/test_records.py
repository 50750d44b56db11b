"""Records of the table keep what they are given."""

import msgspec

from mnedge.model.records import JobRecord, OperatorRequest
from mnedge.model.states import JobStatus, Verb


def test_a_job_record_outlives_its_bytes():
    record = JobRecord(
        job_id="j-1",
        graph_id="g",
        job_name="n",
        blueprint_id="b",
        status=JobStatus.RUNNING,
        submitted_at=1.0,
        updated_at=2.0,
        fault={"fact_seq": 3, "error": "boom"},
    )
    assert msgspec.json.decode(msgspec.json.encode(record), type=JobRecord) == record


def test_a_record_of_an_older_release_gets_defaults():
    old = (
        b'{"job_id":"j","graph_id":"g","job_name":"n","blueprint_id":"b","status":"pending",'
        b'"submitted_at":1,"updated_at":1}'
    )
    assert msgspec.json.decode(old, type=JobRecord).engine_revision == 1


def test_an_operators_request_names_its_verb():
    asked = OperatorRequest(request_id="r", job_id="j", verb=Verb.CANCEL, asked_at=1.0)
    assert b'"verb":"cancel"' in msgspec.json.encode(asked)
