"""The runner against the contract of all runners; it needs a way to start processes."""

import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from mnedge.ports import Launch, Runner
from mnedge.testing.runner_contract import RunnerContract
from mnedge.testing.spawner import a_spawner
from mnedge_template.runner import NICENESS, Background


@pytest.fixture
def launch(tmp_path: Path) -> Callable[..., Launch]:
    numbers = count(1)

    def make(command: Any, *, more: dict[str, str] | None = None, **fields: Any) -> Launch:
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


class TestBackground(RunnerContract):
    @pytest.fixture
    def runner(self) -> Runner:
        return Background(a_spawner())

    async def test_it_gives_way_to_everybody(
        self, runner: Runner, launch: Callable[..., Launch]
    ) -> None:
        finished = await self.ran(runner, launch(("sh", "-c", "sleep 0.2; exec nice")))
        assert finished.stdout == f"{NICENESS}\n".encode()
