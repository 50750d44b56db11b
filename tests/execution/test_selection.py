import pytest

from mnedge.execution.refusal import RefusedError
from mnedge.execution.selection import asks_in, choose_runner
from mnedge.model.manifest import Agent, JobSpec
from mnedge.model.resources import DeviceAsk
from mnedge.model.states import AgentKind
from tests.execution.node import ScriptedRunner, ended

LOCAL = ScriptedRunner(ended())
SHELL = ScriptedRunner(ended(), name="openshell", isolation="sandbox")
BROKEN = ScriptedRunner(ended(), name="openshell", isolation="sandbox", why="no such program")


def agent(**config):
    return Agent(agent_id="a", kind=AgentKind.EXECUTOR, config=config)


def spec(**config):
    return JobSpec(
        blueprint_id="b", graph_id="g", job_name="g", agents=[], edges=[], entrypoints=[],
        seeds={}, config=config,
    )  # fmt: skip


def runners(*more):
    known = {"host_local": LOCAL, "MirrorNeuron.Runner.HostLocal": LOCAL}
    for runner in more:
        known |= {
            runner.name: runner,
            "MirrorNeuron.Runner.OpenShell": runner,
            "MirrorNeuron.Sandbox.OpenShell": runner,
        }
    return known


def test_a_named_runner_is_taken():
    chosen = choose_runner(agent(runner_module="MirrorNeuron.Runner.HostLocal"), spec(), runners())
    assert (chosen.runner, chosen.instead_of, chosen.braces_doubled) == (LOCAL, None, False)


@pytest.mark.parametrize(
    "named", [{}, {"runner_module": None}, {"runner_module": "MirrorNeuron.Sandbox.OpenShell"}]
)
def test_openshell_is_the_default_and_falls_back_when_absent(named):
    present = choose_runner(agent(**named), spec(), runners(SHELL))
    assert (present.runner, present.instead_of, present.braces_doubled) == (SHELL, None, True)
    for known in (runners(), runners(BROKEN)):
        chosen = choose_runner(agent(**named), spec(), known)
        assert (chosen.runner, chosen.instead_of) == (LOCAL, "openshell")
        assert chosen.braces_doubled


def test_the_job_or_the_node_can_forbid_to_fall_back():
    forbidden = spec(runners={"openshell": {"fallback": False}})
    with pytest.raises(RefusedError, match="no such program"):
        choose_runner(agent(), forbidden, runners(BROKEN))
    with pytest.raises(RefusedError):
        choose_runner(agent(), spec(), runners(), openshell_fallback=False)
    allowed = spec(runners={"openshell": {"fallback": True}})
    assert choose_runner(agent(), allowed, runners(), openshell_fallback=False).runner is LOCAL


def test_docker_is_refused_unless_the_job_allows_a_stand_in():
    docker = agent(runner_module="MirrorNeuron.Runner.DockerWorker")
    with pytest.raises(RefusedError, match="docker cannot be used"):
        choose_runner(docker, spec(), runners())
    allowed = spec(runners={"docker": {"fallback": True}})
    assert choose_runner(docker, allowed, runners()).instead_of == "docker"


@pytest.mark.parametrize("level", ["none", "process", "sandbox", "vm"])
def test_nothing_that_declares_a_level_ever_falls_back(level):
    with pytest.raises(RefusedError, match="min_level"):
        choose_runner(agent(sandbox={"min_level": level}), spec(), runners())


@pytest.mark.parametrize(
    "level,good", [("none", True), ("process", True), ("sandbox", False), ("vm", False)]
)
def test_a_runner_must_isolate_as_much_as_declared(level, good):
    wanted = agent(runner_module="host_local", sandbox={"min_level": level})
    if good:
        assert choose_runner(wanted, spec(), runners()).runner is LOCAL
    else:
        with pytest.raises(RefusedError, match='gives "process"'):
            choose_runner(wanted, spec(), runners())


def test_a_level_that_nobody_knows_is_refused():
    wanted = agent(runner_module="host_local", sandbox={"min_level": "fort"})
    with pytest.raises(RefusedError, match="none of none, process, sandbox, vm"):
        choose_runner(wanted, spec(), runners())


def test_an_unknown_runner_is_refused_by_name():
    with pytest.raises(RefusedError, match='runner "Moon" of agent a cannot be used'):
        choose_runner(agent(runner_module="Moon"), spec(), runners())


def test_without_a_local_runner_there_is_no_stand_in():
    with pytest.raises(RefusedError, match="no host_local runner"):
        choose_runner(agent(), spec(), {})


def test_what_an_agent_asks_for_is_read_and_what_cannot_be_read_is_refused():
    agent = Agent(agent_id="w", kind=AgentKind.EXECUTOR, resources={"gpu_count": 1})
    assert asks_in(agent) == (DeviceAsk(kind="gpu"),)
    with pytest.raises(RefusedError, match=r"agent w: resources\.gpu_count") as refused:
        asks_in(Agent(agent_id="w", kind=AgentKind.EXECUTOR, resources={"gpu_count": "x"}))
    assert refused.value.error["code"] == "device.ask_invalid"
