"""An update carried to its end, from every place at which it may have been cut."""

import os
import signal

import pytest

from mnedge import faults
from mnedge.faults import UPDATE_POINTS
from mnedge.store.trial import mark_path, read_mark
from mnedge.systemd import ServiceError
from mnedge.updates.finish import finish
from mnedge.updates.releases import led_to
from mnedge.updates.trial import ASKED_BACK, last_outcome, read_trial
from tests.updates.fake_root import FakeRoot

BEFORE = ("update.fetched", "update.placed")
"""Reached before anything is written down: the update did not begin."""
FORTH = ("ready", "marked", "trying", "switched", "stopped", "started", "confirming", "released",
         "pruned", "told")  # fmt: skip
BACK = ("returning", "returned", "stopped:2", "started:2", "revived", "told")


def updated(root, **told):
    root.begin(root.file(**told))
    return finish(root.layout, root.machine)


def left_alone(root):
    """Nothing of the update is left but what it came to."""
    assert read_trial(root.layout) is None
    assert read_mark(root.layout.data_dir) is None
    names = {path.name for path in root.layout.home.iterdir()}
    assert names <= {"current", "previous", "releases", "runtime", "last-update.json"}


def test_a_good_release_runs_and_the_one_before_is_kept(root):
    outcome = updated(root, version="1.1.0")
    assert (outcome.result, outcome.well, outcome.good) == ("confirmed", True, True)
    assert root.runs == "1.1.0"
    assert led_to(root.layout.previous) == root.old
    assert sorted([led_to(root.layout.current), root.old]) == root.releases
    assert last_outcome(root.layout) == outcome
    left_alone(root)


def test_releases_that_are_older_than_the_one_before_are_removed(root):
    updated(root, version="1.1.0")
    second = led_to(root.layout.current)
    assert updated(root, version="1.2.0").good
    assert root.releases == sorted([second, led_to(root.layout.current)])
    assert len(list(root.layout.runtime.iterdir())) == 0  # these have no key: nothing is theirs


@pytest.mark.parametrize(
    "does, why",
    [
        ("crashes", "it ended 3 times"),
        ("silent", "not well after 20 s: it does not answer"),
        ("ails", "not well after 20 s: it says 'degraded'"),
        ("lies", "mnedge 9.9.9 answers where 1.1.0 should"),
        ("fades", "not well after 20 s: it does not answer"),
    ],
)
def test_a_bad_release_gives_way_to_the_old_one(root, does, why):
    outcome = updated(root, version="1.1.0", does=does)
    assert (outcome.result, outcome.well, outcome.good) == ("rolled_back", True, False)
    assert why in outcome.why
    assert root.runs == "1.0.0"
    assert root.releases == [root.old]
    assert led_to(root.layout.previous) == ""
    left_alone(root)


def test_the_way_back_leaves_the_release_before_where_it_was(root):
    updated(root, version="1.1.0")
    first, second = root.old, led_to(root.layout.current)
    updated(root, version="1.2.0", does="crashes")
    assert (led_to(root.layout.previous), led_to(root.layout.current)) == (first, second)
    assert (root.layout.previous / "mnedge").is_file()
    assert root.runs == "1.1.0"


def test_a_node_that_ailed_before_may_ail_after(tmp_path):
    root = FakeRoot(tmp_path / "root", does="ails")
    assert updated(root, version="1.1.0", does="ails").good
    assert updated(root, version="1.2.0").good


def test_it_is_said_if_the_old_one_is_not_well_either(root):
    root.begin(root.file(version="1.1.0", does="crashes"))
    program = root.layout.releases / root.old / "mnedge"
    program.write_text('{"version": "1.0.0", "does": "silent"}')
    outcome = finish(root.layout, root.machine)
    assert (outcome.result, outcome.well) == ("rolled_back", False)


def test_a_node_that_does_not_run_is_not_started(root):
    root.machine.change(running="")
    outcome = updated(root, version="1.1.0", does="crashes")
    assert (outcome.result, outcome.runs) == ("confirmed", False)
    assert root.runs == ""


def test_somebody_may_ask_to_go_back(root):
    root.begin(root.file(version="1.1.0"))
    (root.layout.home / ASKED_BACK).write_bytes(b"")
    outcome = finish(root.layout, root.machine)
    assert (outcome.result, outcome.why) == ("rolled_back", "somebody asked to go back")
    left_alone(root)


def test_nothing_is_carried_where_nothing_is_on_trial(root):
    assert finish(root.layout, root.machine) is None


def test_the_data_are_marked_before_the_new_program_runs_and_until_it_is_confirmed(root):
    seen = []
    start, stop = root.machine.start, root.machine.stop

    def started():
        seen.append(("start", read_mark(root.layout.data_dir)))
        start()

    def stopped(socket):
        seen.append(("stop", read_mark(root.layout.data_dir)))
        stop(socket)

    root.machine.start, root.machine.stop = started, stopped
    updated(root, version="1.1.0", schema=2, revision=3)
    assert [what for what, _ in seen] == ["stop", "start", "stop", "start"]
    assert [mark and (mark.schema, mark.engine_revision) for _, mark in seen] == [
        *((1, 1), (1, 1), (1, 1), None),
    ]


def test_without_a_new_schema_the_node_is_restarted_once(root):
    starts = []
    start = root.machine.start
    root.machine.start = lambda: (starts.append(1), start())
    updated(root, version="1.1.0", revision=3)
    assert len(starts) == 1


def killed_at(root, point, **told):
    """Update in another process that dies at that place; tell whether it came there."""
    name, _, visit = point.partition(":")
    where = root.file(**told)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            faults.arm(f"update.{name}:{visit or 1}:kill")
            root.begin(where)
            finish(root.layout, root.machine)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL)
    return os.waitstatus_to_exitcode(status) != 0


def test_every_place_of_an_update_is_in_these_lists():
    named = {f"update.{name.partition(':')[0]}" for name in (*FORTH, *BACK)}
    assert named | set(BEFORE) == set(UPDATE_POINTS)


@pytest.mark.parametrize("reboots", [False, True])
@pytest.mark.parametrize("schema", [1, 2])
@pytest.mark.parametrize("point", FORTH)
def test_an_update_that_was_cut_ends_well_whoever_carries_it_on(root, point, schema, reboots):
    assert killed_at(root, point, version="1.1.0", schema=schema)
    if reboots:
        root.machine.reboot()
    outcome = finish(root.layout, root.machine)
    if point in ("ready", "marked") and reboots:
        assert (outcome.result, root.runs) == ("abandoned", "1.0.0")
        assert root.releases == [root.old]
    else:
        assert (outcome.result, outcome.well, root.runs) == ("confirmed", True, "1.1.0")
        assert led_to(root.layout.previous) == root.old
    left_alone(root)


@pytest.mark.parametrize("reboots", [False, True])
@pytest.mark.parametrize("point", ["switched", "started", *BACK])
def test_a_bad_release_gives_way_wherever_that_is_cut(root, point, reboots):
    assert killed_at(root, point, version="1.1.0", does="crashes")
    if reboots:
        root.machine.reboot()
    outcome = finish(root.layout, root.machine)
    assert (outcome.result, outcome.well, root.runs) == ("rolled_back", True, "1.0.0")
    assert (led_to(root.layout.current), led_to(root.layout.previous)) == (root.old, "")
    assert root.releases == [root.old]
    left_alone(root)


@pytest.mark.parametrize("point", BEFORE)
def test_an_update_that_was_cut_before_it_began_has_changed_nothing(root, point):
    assert killed_at(root, point.removeprefix("update."), version="1.1.0")
    root.machine.reboot()
    assert finish(root.layout, root.machine) is None
    assert (root.runs, led_to(root.layout.current)) == ("1.0.0", root.old)
    assert not mark_path(root.layout.data_dir).exists()
    assert updated(root, version="1.1.0").good


def test_a_machine_that_goes_down_twice_on_trial_gets_the_old_program_back(root):
    assert killed_at(root, "started", version="1.1.0")
    root.machine.reboot()

    def down():
        raise KeyboardInterrupt

    wait, root.machine.wait = root.machine.wait, down
    with pytest.raises(KeyboardInterrupt):
        finish(root.layout, root.machine)
    root.machine.wait = wait
    root.machine.reboot()
    outcome = finish(root.layout, root.machine)
    assert (outcome.result, root.runs) == ("rolled_back", "1.0.0")
    assert "went down again" in outcome.why
    left_alone(root)


def test_a_node_that_cannot_be_stopped_and_has_ended_is_started_all_the_same(root):
    def stop(socket):
        root.machine.change(running="", looks=0)
        raise ServiceError("systemctl stop mnedge.service: no answer")

    root.machine.stop = stop
    outcome = updated(root, version="1.1.0", does="silent")
    assert (outcome.result, outcome.well, root.runs) == ("rolled_back", True, "1.0.0")
    assert "no answer" in outcome.why
    left_alone(root)
