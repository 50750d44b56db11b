"""Steps in lines, wide and narrow."""

from rich.cells import cell_len

from mnedge.cli.step_rows import bar, folds, notes, step_lines, step_table
from mnedge.cli.steps import StepProgress


def step(step_id, status="pending", **more):
    return StepProgress(step_id=step_id, status=status, **more)


def drawn(steps, width=100, **more):
    return [line.plain for line in step_lines(steps, 100.0, width, **more)]


WORKERS = [
    *(step(f"worker[{n}]", "completed", attempts=1) for n in range(37)),
    *(step(f"worker[{n}]", "running", attempts=1) for n in range(37, 41)),
    *(step(f"worker[{n}]", blocked_on=("split",)) for n in range(41, 100)),
]
STORY = [
    step("fetch", "completed", attempts=1),
    step("clean", "running", attempts=2, max_attempts=3, started_at=88.0, beacon_at=96.0),
    step("check", "retry_wait", attempts=1, max_attempts=3, retry_at=103.0, reason="exit code 3"),
    step("review", "running", started_at=40.0, attempts=1, asks=True),
    step("report", "blocked", blocked_on=["clean", "check"]),
    step("tidy", "skipped", reason="not selected by branch clean"),
    step("ship", "failed", attempts=1, reason="deadline exceeded"),
]


def test_each_line_says_what_a_step_does_and_waits_for():
    assert drawn(STORY) == [
        "✓  fetch   completed",
        "●  clean   running    12 s  beacon 4.0 s ago  attempt 2 of 3",
        "↻  check   retry      in 3.0 s  attempt 1 of 3  exit code 3",
        "●  review  waiting    for a person  1 min 00 s",
        "○  report  blocked    for clean, check",
        "·  tidy    skipped    not selected by branch clean",
        "✗  ship    failed     deadline exceeded",
    ]


def test_a_narrow_terminal_gets_lines_that_fit():
    lines = drawn([*STORY, *WORKERS, step("a_step_with_a_rather_long_name", "ready")], 40)
    assert all(cell_len(line) <= 40 for line in lines)
    assert lines[2].startswith("↻ check")
    assert "in 3.0 s" in lines[2]


def test_instances_share_a_line_with_a_bar():
    assert [fold.label for fold in folds([step("split"), *WORKERS])] == ["split", "worker[0..99]"]
    (line,) = drawn(WORKERS)
    assert line == f"●  worker[0..99]  37 of 100  {bar(37, 100)}  4 running  59 pending"
    (narrow,) = drawn(WORKERS, 40)
    assert "37 of 100" in narrow
    assert "━" not in narrow
    assert len(drawn(WORKERS[:4])) == 4


def test_what_was_replaced_by_instances_is_not_shown():
    assert len(drawn([step("worker", "skipped", outcome="mapped"), step("x")])) == 1


def test_where_there_is_no_room_the_most_urgent_are_shown():
    many = [step(f"calm_{n}x") for n in range(20)] + [step("bad", "failed"), step("on", "running")]
    lines = drawn(many, most=4)
    assert [line.split()[1] for line in lines] == ["calm_0x", "bad", "on", "19"]
    assert lines[-1] == "  and 19 more steps"


def test_a_retry_that_is_due_is_due_now():
    assert notes(step("s", "retry_wait", retry_at=99.0), 100.0) == ["now"]


def test_a_step_that_is_held_up_by_a_sentence_says_it():
    assert notes(step("s", "blocked", blocked_on=["job paused"]), 0.0) == ["job paused"]
    assert notes(step("s", "blocked", blocked_on=list("abcde")), 0.0) == ["for a, b, c and 2 more"]
    waits = ["a", "w[1]", "w[2]", "v[0]"]
    assert notes(step("s", "blocked", blocked_on=waits), 0.0) == ["for a, 2 of w, v[0]"]


def test_a_table_has_outcomes_and_attempts():
    steps = [
        step("fetch", "completed", outcome="success", attempts=1),
        step("clean", "retry_wait", attempts=1, max_attempts=3, retry_at=103.0),
        *WORKERS,
    ]
    lines = [line.plain for line in step_table(steps, 100.0, None)]
    assert lines[0].split() == ["step", "status", "outcome", "attempts"]
    assert lines[1].split() == ["✓", "fetch", "completed", "success", "1"]
    assert lines[2].split() == ["↻", "clean", "retry_wait", "1", "of", "3", "in", "3.0", "s"]
    assert lines[3].split()[:5] == ["●", "worker[0..99]", "37", "of", "100"]
    assert len(step_table(steps, 100.0, None, every=True)) == 103


def test_a_bar_is_full_only_when_all_is_done():
    assert bar(0, 0) == "┄" * 20
    assert bar(99, 100).count("━") == 19
    assert bar(100, 100) == "━" * 20


def test_a_failure_that_was_handled_is_no_tick():
    for status in ("partial", "skipped"):
        step = StepProgress(step_id="a", status=status, outcome="failed")
        assert step_table([step], 0.0, 80)[1].plain.startswith("!")
    step = StepProgress(step_id="a", status="partial", outcome="partial")
    assert step_table([step], 0.0, 80)[1].plain.startswith("✓")


def test_a_step_that_stopped_with_its_job_has_no_clock():
    step = StepProgress(step_id="a", status="running", started_at=0.0, stopped=True)
    line = step_table([step], 60.0, 80)[1].plain
    assert line.startswith("■")
    assert line.rstrip().endswith("stopped with the job")
