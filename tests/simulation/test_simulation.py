"""Thousands of lives: no crash, disk, worker, rival or schedule makes a promise be broken.

A seed that fails says how to replay it. With a promise switched off, some seed must fail.
"""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.simulation import play as command
from tests.simulation.play import told
from tests.simulation.world import POINTS, play

ROOT = Path(__file__).resolve().parents[2]
SHARE, ALL = 1000, 10_000
"""Seeds of `make test`, and of `make soak`."""
DEATHS = ("die_before", "die_during", "die_after")
HAPPENS = (
    *(f"crash at {point}" for point in POINTS),
    *(f"{fault} at {what}" for fault in DEATHS for what in ("make", "write", "sync")),
    "full at write",
    "full at make",
    "broken at write",
    "broken at sync",
    "dies",
    "dies of a power cut",
    "freezes",
    "thaws",
    "cannot start",
    "late:",
    "letter",
    "asked: pause",
    "asked: resume",
    "asked: cancel",
    "asked: respond",
    "asked: redrive",
    "asked: discard",
    "line:",
    *(
        f"told {kind}"
        for kind in (
            "agent_beacon_missed",
            "agent_restart_scheduled",
            "dead_letter",
            "human_decision_applied",
            "human_input_timeout",
            "job_paused_for_manual_restart",
            "workflow_branch_selected",
            "workflow_completion_deferred",
            "workflow_completion_inferred",
            "workflow_dynamic_steps_retired",
            "workflow_graph_patch_applied",
            "workflow_step_attempt_retry_scheduled",
            "workflow_step_attempt_timed_out",
            "workflow_step_blocked",
            "workflow_step_partial",
            "workflow_step_scattered",
            "workflow_step_skipped",
            "workflow_step_stale_output_ignored",
            "workflow_step_triggered",
        )
    ),
    "is completed",
    "is failed",
    "is cancelled",
)


def started(arguments, **environ):
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.live
def test_no_seed_breaks_a_promise_and_together_they_get_everywhere(soak):
    count = ALL if soak else SHARE
    workers = min(8, os.cpu_count() or 1)
    ends = [1 + count * number // workers for number in range(workers + 1)]
    running = [
        started(["-m", "tests.simulation.play", str(first), str(end - 1)])
        for first, end in pairwise(ends)
    ]
    outputs = [process.communicate()[0] for process in running]
    assert not any(process.returncode for process in running), "\n".join(outputs)
    happened = set(re.findall(r"^happened +\d+ (.+)$", "\n".join(outputs), re.MULTILINE))
    assert set(HAPPENS) <= happened, f"never: {sorted(set(HAPPENS) - happened)}"


@pytest.mark.parametrize("seed", [257, 597, 5442, 5485, 8053])
def test_seeds_that_found_something_once_stay_sound(seed):
    assert play(seed).broken == []


@pytest.mark.live
def test_the_same_seed_gives_the_same_story_in_any_process():
    stories = [play(seed) for seed in range(1, 9)]
    assert [play(seed).log for seed in range(1, 9)] == [story.log for story in stories]
    text = "from tests.simulation.world import play\nfor s in range(1, 9): print(play(s).digest)"
    for hash_seed in ("1", "2"):
        said = started(["-c", text], PYTHONHASHSEED=hash_seed).communicate()[0]
        assert said.split() == [story.digest for story in stories]


@pytest.mark.parametrize(
    "flag,broken",
    [
        ("journal_first_off", "started twice|no fact that is kept asks for it"),
        ("fencing_off", "whose newest is|stale owner|differs from the replay"),
        ("dedupe_off", "again, has an effect"),
    ],
)
def test_without_a_promise_some_seed_fails(monkeypatch, flag, broken):
    monkeypatch.setenv("MNEDGE_UNSAFE", flag)
    found: set[str] = set()
    for seed in range(1, SHARE + 1):
        report = play(seed)
        found.update(re.findall(broken, "\n".join(report.broken)))
        if found:
            return
    pytest.fail(f"{SHARE} seeds, and none of them noticed")


def test_a_stale_owner_is_noticed_in_what_it_writes(monkeypatch):
    """A launch apart, fencing is about owners: their facts, and the run folder."""
    monkeypatch.setenv("MNEDGE_UNSAFE", "fencing_off")
    for seed in range(1, SHARE + 1):
        if re.search(
            "stale owner|differs from the replay", "\n".join(play(seed, crowded=True).broken)
        ):
            return
    pytest.fail("no stale owner was noticed")


def test_a_seed_that_fails_says_how_to_replay_it(monkeypatch, capsys):
    monkeypatch.setenv("MNEDGE_UNSAFE", "journal_first_off")
    seed = next(seed for seed in range(1, SHARE) if play(seed).broken)
    assert command.main([str(seed)]) == 1
    said = capsys.readouterr().out
    assert f"seed {seed}: job-" in said
    assert "dies" in said
    assert f"replay: python -m tests.simulation.play {seed}" in said
    assert said.startswith(told(play(seed)))
