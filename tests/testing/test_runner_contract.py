"""The runner suite notices runners that break their word."""

import os
from itertools import count

import msgspec
import pytest

from mnedge.execution.processes import Processes
from mnedge.ports import Launch
from mnedge.testing.runner_contract import RunnerContract
from mnedge_runners.host_local import HostLocal

pytestmark = pytest.mark.live

SUITE = RunnerContract()


@pytest.fixture
def launch(tmp_path):
    numbers = count(1)

    def make(command, *, more=None, **fields):
        return Launch(
            token=f"suite-{os.getpid()}/a/{next(numbers)}",
            name="suite",
            command=command,
            workspace=str(tmp_path),
            workdir=str(tmp_path),
            environment={"PATH": os.environ["PATH"], **(more or {})},
            **fields,
        )

    return make


class Shelled(HostLocal):
    """Runs a list through a shell."""

    async def run(self, launch, on_line):
        line = launch.command if isinstance(launch.command, str) else " ".join(launch.command)
        return await super().run(msgspec.structs.replace(launch, command=line), on_line)


class Merging(HostLocal):
    """Has one stream for both."""

    async def run(self, launch, on_line):
        finished = await super().run(launch, on_line)
        said = finished.stdout + finished.stderr
        return msgspec.structs.replace(finished, stdout=said, stderr=b"")


class Leaking(HostLocal):
    """Passes the owner's environment on."""

    async def run(self, launch, on_line):
        everything = {**os.environ, **launch.environment}
        return await super().run(msgspec.structs.replace(launch, environment=everything), on_line)


class Deaf(HostLocal):
    """Offers no lines."""

    async def run(self, launch, on_line):
        return await super().run(launch, lambda _: False)


class Endless(HostLocal):
    """Knows no cap."""

    async def run(self, launch, on_line):
        return await super().run(msgspec.structs.replace(launch, max_output_bytes=1 << 30), on_line)


class Patient(HostLocal):
    """Knows no timeout but one that comes too late."""

    async def run(self, launch, on_line):
        return await super().run(
            msgspec.structs.replace(launch, timeout_s=launch.timeout_s and 2.0), on_line
        )


class Raising(HostLocal):
    """Raises what should be a result."""

    async def run(self, launch, on_line):
        finished = await super().run(launch, on_line)
        if finished.error:
            raise OSError(finished.error)
        return finished


class Misplaced(HostLocal):
    """Runs everything somewhere else."""

    async def run(self, launch, on_line):
        return await super().run(msgspec.structs.replace(launch, workdir="/proc"), on_line)


@pytest.mark.parametrize(
    "kind,test,more",
    [
        (Shelled, SUITE.test_a_list_is_executed_as_it_is, []),
        (Merging, SUITE.test_the_two_streams_stay_apart, []),
        (Leaking, SUITE.test_only_the_given_environment_is_seen, ["monkeypatch"]),
        (Deaf, SUITE.test_lines_are_offered_and_taken_out, []),
        (Endless, SUITE.test_output_is_capped_and_says_so, []),
        (Raising, SUITE.test_a_program_that_is_not_there_is_no_exception, []),
        (Misplaced, SUITE.test_it_runs_in_its_workdir, []),
    ],
)
async def test_broken_runners_are_caught(request, notices, launch, kind, test, more):
    arguments = [request.getfixturevalue(name) for name in more]
    await test(HostLocal(Processes()), launch, *arguments)
    assert await notices(test, kind(Processes()), launch, *arguments)


async def test_a_runner_that_never_ends_a_command_is_caught(notices, launch, monkeypatch):
    monkeypatch.setattr("mnedge.testing.runner_contract.PATIENCE_S", 1.0)
    test = SUITE.test_a_command_that_takes_too_long_is_stopped
    await test(HostLocal(Processes()), launch)
    assert await notices(test, Patient(Processes()), launch)
