"""Every runner against the contract of its port."""

import os
from itertools import count

import pytest

from mnedge.execution.processes import Processes
from mnedge.hot import native
from mnedge.hot.spawn import spawn_native, spawn_plain
from mnedge.ports import Launch
from mnedge.testing.runner_contract import RunnerContract
from mnedge_runners.host_local import HostLocal

pytestmark = pytest.mark.live


@pytest.fixture
def launch(tmp_path):
    numbers = count(1)

    def make(command, *, more=None, **fields):
        number = next(numbers)
        workspace = tmp_path / str(number)
        workspace.mkdir()
        return Launch(
            token=f"contract-{os.getpid()}/a/{number}",
            name="contract",
            command=command,
            workspace=str(workspace),
            workdir=str(workspace),
            environment={"PATH": os.environ["PATH"], **(more or {})},
            **fields,
        )

    return make


@pytest.mark.skipif(not native.available()[0], reason=native.available()[1])
class TestHostLocalNative(RunnerContract):
    @pytest.fixture
    def runner(self):
        return HostLocal(Processes(spawn_native))


class TestHostLocalPlain(RunnerContract):
    @pytest.fixture
    def runner(self):
        return HostLocal(Processes(spawn_plain))
