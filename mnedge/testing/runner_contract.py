"""What all runners keep to. Subclass it in a test module that has fixtures `runner` and `launch`.

`runner`: the runner under test. `launch(command, **fields)`: a `Launch` of that command in a fresh
workspace, with PATH in its environment. The tests need real time and a shell.
"""

from collections.abc import Callable
from typing import Any

import pytest
import trio

from mnedge.model.states import OutcomeStatus
from mnedge.ports import Finished, Launch, Runner

MakeLaunch = Callable[..., Launch]
PATIENCE_S = 20.0


def keep(_: bytes) -> bool:
    """Take no line out of the output."""
    return False


class RunnerContract:
    """Tests of the Runner port."""

    async def ran(self, runner: Runner, launch: Launch, on_line: Any = keep) -> Finished:
        """Run it, and fail rather than wait for ever."""
        with trio.fail_after(PATIENCE_S):
            return await runner.run(launch, on_line)

    def test_it_says_what_it_is(self, runner: Runner) -> None:
        assert runner.name
        assert runner.name not in runner.modules
        assert runner.isolation in ("none", "process", "sandbox", "vm")
        assert runner.available() is None, "it is under test, so it must be able to run here"

    async def test_a_list_is_executed_as_it_is(self, runner: Runner, launch: MakeLaunch) -> None:
        arguments = ("printf", "%s|", "a b", "$HOME", "*", "")
        finished = await self.ran(runner, launch(arguments))
        assert finished.status is OutcomeStatus.SUCCEEDED
        assert finished.exit_code == 0
        assert finished.error is None
        assert finished.stdout == b"a b|$HOME|*||"
        assert finished.elapsed_s > 0

    async def test_a_line_goes_through_a_shell(self, runner: Runner, launch: MakeLaunch) -> None:
        finished = await self.ran(runner, launch("for i in 1 2; do echo $i; done | tail -n 1"))
        assert finished.stdout == b"2\n"

    async def test_the_two_streams_stay_apart(self, runner: Runner, launch: MakeLaunch) -> None:
        finished = await self.ran(runner, launch(("sh", "-c", "echo out; echo err >&2; exit 3")))
        assert finished.status is OutcomeStatus.FAILED
        assert finished.exit_code == 3
        assert (finished.stdout, finished.stderr) == (b"out\n", b"err\n")

    async def test_there_is_nothing_on_stdin(self, runner: Runner, launch: MakeLaunch) -> None:
        finished = await self.ran(runner, launch(("cat",)))
        assert (finished.exit_code, finished.stdout) == (0, b"")

    async def test_it_runs_in_its_workdir(self, runner: Runner, launch: MakeLaunch) -> None:
        asked = launch(("sh", "-c", "echo made > file; cat file"))
        finished = await self.ran(runner, asked)
        assert finished.stdout == b"made\n"

    async def test_only_the_given_environment_is_seen(
        self, runner: Runner, launch: MakeLaunch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OF_THE_OWNER", "secret")
        asked = launch(("env",), more={"GIVEN": "a=b c"})
        finished = await self.ran(runner, asked)
        lines = finished.stdout.decode().splitlines()
        assert "GIVEN=a=b c" in lines
        assert f"MNEDGE_LAUNCH={asked.token}" in lines
        assert "secret" not in finished.stdout.decode()

    async def test_lines_are_offered_and_taken_out(
        self, runner: Runner, launch: MakeLaunch
    ) -> None:
        offered: list[bytes] = []

        def take(line: bytes) -> bool:
            offered.append(line)
            return line.startswith(b"take")

        said = "printf 'keep 1\\ntake 2\\n\\nkeep 3'; echo take err >&2"
        finished = await self.ran(runner, launch(("sh", "-c", said)), take)
        assert offered == [b"keep 1", b"take 2", b"", b"keep 3"]
        assert finished.stdout == b"keep 1\n\nkeep 3"
        assert finished.stderr == b"take err\n"

    async def test_lines_come_while_it_runs(self, runner: Runner, launch: MakeLaunch) -> None:
        came = trio.Event()

        def take(line: bytes) -> bool:
            came.set()
            return False

        async with trio.open_nursery() as nursery:
            asked = launch(("sh", "-c", "echo now; exec sleep 300"))
            nursery.start_soon(self.ran, runner, asked, take)
            with trio.fail_after(PATIENCE_S):
                await came.wait()
            nursery.cancel_scope.cancel()

    async def test_output_is_capped_and_says_so(self, runner: Runner, launch: MakeLaunch) -> None:
        loud = "i=0; while [ $i -lt 3000 ]; do echo line $i; echo err $i >&2; i=$((i+1)); done"
        finished = await self.ran(runner, launch(("sh", "-c", loud), max_output_bytes=1000))
        assert finished.exit_code == 0
        for content in (finished.stdout, finished.stderr):
            *_, marker = content.splitlines()
            assert b"truncated" in marker
            assert len(content) <= 1000 + len(marker) + 2
        assert all(finished.dropped_bytes[stream] > 20_000 for stream in ("stdout", "stderr"))

    async def test_a_program_that_is_not_there_is_no_exception(
        self, runner: Runner, launch: MakeLaunch
    ) -> None:
        finished = await self.ran(runner, launch(("no-such-program",)))
        assert finished.status is OutcomeStatus.FAILED
        assert finished.exit_code is None
        assert (finished.error or "").startswith("failed to invoke no-such-program: ")

    async def test_a_command_that_takes_too_long_is_stopped(
        self, runner: Runner, launch: MakeLaunch
    ) -> None:
        slow = ("sh", "-c", "echo started; sleep 300; echo never")
        finished = await self.ran(runner, launch(slow, timeout_s=0.5, grace_s=0.5))
        assert finished.status is OutcomeStatus.FAILED
        assert "timed out" in (finished.error or "")
        assert finished.stdout == b"started\n"

    async def test_a_command_may_tidy_up_when_it_is_stopped(
        self, runner: Runner, launch: MakeLaunch
    ) -> None:
        tidy = "trap 'echo tidied; exit 0' TERM; echo started; while :; do sleep 0.05; done"
        finished = await self.ran(runner, launch(("sh", "-c", tidy), timeout_s=0.5, grace_s=10.0))
        assert finished.stdout == b"started\ntidied\n"
        assert finished.status is OutcomeStatus.FAILED

    async def test_a_command_that_does_not_listen_is_killed(
        self, runner: Runner, launch: MakeLaunch
    ) -> None:
        deaf = ("sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")
        finished = await self.ran(runner, launch(deaf, timeout_s=0.3, grace_s=0.3))
        assert "timed out" in (finished.error or "")

    async def test_what_stays_behind_holds_nobody_up(
        self, runner: Runner, launch: MakeLaunch
    ) -> None:
        leaves = ("sh", "-c", "sleep 300 & echo done")
        finished = await self.ran(runner, launch(leaves))
        assert (finished.exit_code, finished.stdout) == (0, b"done\n")

    async def test_cancelled_it_is_gone_when_run_returns(
        self, runner: Runner, launch: MakeLaunch
    ) -> None:
        started = trio.Event()

        def take(line: bytes) -> bool:
            started.set()
            return False

        asked = launch(
            ("sh", "-c", "trap '' TERM; sleep 300 & setsid sleep 300 & echo up; sleep 300"),
            grace_s=0.2,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.ran, runner, asked, take)
            with trio.fail_after(PATIENCE_S):
                await started.wait()
            nursery.cancel_scope.cancel()
        assert await runner.sweep({asked.token: "job"}) == 0, "nothing was left to sweep"

    async def test_many_run_at_once(self, runner: Runner, launch: MakeLaunch) -> None:
        said: list[bytes] = []

        async def one(number: int) -> None:
            finished = await self.ran(runner, launch(("echo", str(number))))
            said.append(finished.stdout)

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(one, number)
        assert sorted(map(int, said)) == list(range(20))
