from msgspec.structs import replace

from mnedge.gateway.grpc.declared import Query, declared_services
from mnedge.model.records import JobRecord
from mnedge.model.states import AgentKind, JobStatus
from tests.runtime.rig import a_config, a_spec, agent

RECORD = JobRecord(
    job_id="job-1",
    graph_id="g",
    job_name="g",
    blueprint_id="b",
    status=JobStatus.RUNNING,
    submitted_at=0,
    updated_at=0,
)


def test_services_of_a_job_and_of_its_agents_are_found(tmp_path):
    worker = replace(
        agent("worker", AgentKind.EXECUTOR), services=[{"name": "inner", "port": "odd", "tags": 3}]
    )
    spec = replace(a_spec([worker], [], {}), services=[{"name": "outer"}, {"port": 1}])
    found = declared_services(spec, RECORD, a_config(tmp_path))
    assert [(one["name"], one["agent_id"], one["id"]) for one in found] == [
        ("outer", None, "job-1:outer"),
        ("inner", "worker", "job-1:worker:inner"),
    ]
    assert (found[1]["port"], found[1]["tags"]) == (None, [])


def test_odd_queries_ask_for_nothing():
    assert Query.of({"name": 1, "tags": "x", "passing_only": "yes", "node": ""}) == Query()
    assert Query.of({"tags": ["a", 1]}).tags == ("a",)
