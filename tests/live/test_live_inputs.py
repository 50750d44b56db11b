"""A folder and an address read by the whole program: at submission, for as long as a job runs, and
across kills."""

import json
import signal
from collections import Counter

import pytest
import yaml

from tests.live.box import Box, until
from tests.live.service_manager import Manager
from tests.live.source import Source

pytestmark = pytest.mark.live

KILLED = -9
KILLS = [
    ("journal.append.before", 2),
    ("journal.append.during", 2),
    ("journal.append.after", 2),
    ("coordinator.commands.before", 2),
    ("publish.during", 1),
    ("publish.after", 1),
    ("journal.snapshot.after", 1),
    ("journal.append.before", 3),
]
FIRST, LATER = 5, 3


@pytest.fixture
def box(tmp_path):
    box = Box(tmp_path)
    (tmp_path / "drop").mkdir()
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump({"connectors": {"folders": [str(tmp_path / "drop")]}})
    )
    box.environ["MNEDGE_CONFIG"] = str(tmp_path / "config.yaml")
    yield box
    box.close()


def drop(box, *numbers):
    for number in numbers:
        place = box.folder / "drop" / f"{number}.json"
        (box.folder / "beside").write_text(json.dumps({"n": number}))
        (box.folder / "beside").rename(place)


def gathering(box, count, skills, *, seeds=1):
    """Make a bundle: what comes is gathered until there are so many."""
    folder = box.bundle("true")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["nodes"] = [
        {"node_id": "start", "agent_type": "router", "config": {}},
        {
            "node_id": "end",
            "agent_type": "aggregator",
            "config": {"complete_after": count + seeds, "complete_job": True},
        },
    ]
    manifest["edges"] = [
        {"edge_id": "a", "from_node": "start", "to_node": "end", "message_type": "*"}
    ]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    config = {"mode": "live", "inputs": {"skills": skills}}
    (folder / "config" / "default.json").write_text(json.dumps(config))
    return folder


def watched(box, **more):
    return {
        "skill": "folder.watch",
        "connector": "file",
        "path": str(box.folder / "drop"),
        "live": True,
        "events": {"on_change": "drop_changed"},
        "interval_s": 0.1,
        "settle_s": 0,
        **more,
    }


def told(box, type_):
    (run,) = box.runs()
    lines = (run / "events.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return [one["payload"] for one in found if one["type"] == type_]


def was_read(box):
    found = [run / "events.jsonl" for run in box.runs()]
    return any(path.exists() and b"drop_changed" in path.read_bytes() for path in found)


@pytest.mark.parametrize("point, ordinal", KILLS)
def test_each_file_comes_once_wherever_the_program_is_killed(box, point, ordinal):
    folder = gathering(box, FIRST + LATER, {"drop": watched(box)})
    drop(box, *range(FIRST))
    small = {"MNEDGE_SNAPSHOT_BYTES": "512"}
    fault = f"{point}:{ordinal}:kill"
    run = box.start("blueprint", "run", str(folder), MNEDGE_FAULT=fault, **small)
    if ordinal > 2 or "snapshot" in point:
        until(lambda: run.poll() is not None or was_read(box))
        drop(box, *range(FIRST, FIRST + 1))
    run.wait(timeout=30)
    assert run.returncode == KILLED
    drop(box, *range(FIRST, FIRST + LATER))
    box.call("job", "recover", "--all", **small)
    assert box.status() == "completed"
    counted = Counter(one["source_ref"]["path"] for one in told(box, "drop_changed"))
    names = [f"{box.folder / 'drop'}/{number}.json" for number in range(FIRST + LATER)]
    assert counted == Counter(names)
    (end,) = told(box, "job_completed")
    bodies = end["result"]["messages"]
    assert sorted(one["content"]["n"] for one in bodies if "content" in one) == [*range(8)]


def test_what_is_read_at_submission_is_in_the_inputs_with_where_it_came_from(box):
    with Source() as source:
        source.holds(b'{"tide": 3}', "application/json")
        drop(box, 7)
        folder = gathering(
            box,
            0,
            {
                "tide": {
                    "skill": "http.get",
                    "connector": "http",
                    "url": f"{source.url}/tide?key=x",
                    "auth_env": "TIDE_KEY",
                    "live": False,
                    "required": True,
                },
                "notes": watched(box, live=False),
                "off": watched(box, live=True, enabled=False),
            },
        )
        box.call("blueprint", "run", str(folder), TIDE_KEY="never-to-be-shown")
        assert source.asked[0].headers["authorization"] == "Bearer never-to-be-shown"
        asked = len(source.asked)
    (run,) = box.runs()
    inputs = json.loads((run / "inputs.json").read_text())
    assert inputs["tide"][0]["content"] == {"tide": 3}
    assert [one["content"] for one in inputs["notes"]] == [{"n": 7}]
    sources = inputs["_source"]["input_skills"]
    assert sources["tide"]["items"][0]["source_ref"]["url"].endswith("/tide")
    assert set(sources) == {"tide", "notes"}
    config = json.loads((run / "config.json").read_text())
    assert config["inputs"]["payload"]["tide"] == inputs["tide"]
    assert asked == 1
    for file in run.rglob("*"):
        assert not file.is_file() or b"never-to-be-shown" not in file.read_bytes()


def test_a_source_that_is_needed_and_away_is_named_before_anything_runs(box):
    skills = {"notes": watched(box, live=False, path="nowhere", required=True)}
    folder = gathering(box, 0, skills)
    done = box.call("blueprint", "run", str(folder), code=None)
    assert done.returncode != 0
    assert "input skill notes: nowhere cannot be read: No such file" in done.stdout + done.stderr
    assert box.runs() == []


def test_a_source_that_is_not_needed_and_away_is_told_by_the_run(box):
    folder = gathering(box, 0, {"notes": watched(box, live=False, path="nowhere")})
    done = box.call("blueprint", "run", str(folder))
    assert "input skill failed: nowhere cannot be read" in done.stdout + done.stderr
    (told_,) = told(box, "input_skill_failed")
    assert told_["name"] == "notes"


def test_a_bundle_reads_its_own_files_and_none_outside(box):
    skills = {"site": watched(box, live=False, path="payloads/site.json", required=True)}
    folder = gathering(box, 0, skills)
    (folder / "payloads" / "site.json").write_text('"north"')
    box.call("blueprint", "run", str(folder))
    inputs = json.loads((box.runs()[0] / "inputs.json").read_text())
    assert inputs["site"][0]["content"] == "north"
    config = json.loads((folder / "config" / "default.json").read_text())
    config["inputs"]["skills"]["site"]["path"] = "/etc/hostname"
    (folder / "config" / "default.json").write_text(json.dumps(config))
    done = box.call("blueprint", "run", str(folder), code=None)
    assert "/etc/hostname is outside the bundle" in done.stdout + done.stderr


def test_a_daemon_reads_for_those_who_submit_and_reads_on_after_a_kill(box):
    skills = {
        "site": watched(box, live=False, path="payloads/site.json", required=True),
        "drop": watched(box),
    }
    folder = gathering(box, FIRST + LATER, skills)
    (folder / "payloads" / "site.json").write_text('"north"')
    drop(box, *range(FIRST))
    daemon = Manager(box)
    try:
        daemon.until_said("READY=1")
        submitted = box.json("job", "submit", str(folder))
        assert submitted["daemon"], "it was not run here"
        until(lambda: was_read(box))
    finally:
        daemon.tell(signal.SIGKILL)
        daemon.close()
    (run,) = box.runs()
    assert json.loads((run / "inputs.json").read_text())["site"][0]["content"] == "north"
    drop(box, *range(FIRST, FIRST + LATER))
    daemon = Manager(box)
    try:
        until(lambda: box.status() == "completed")
    finally:
        daemon.close()
    assert Counter(one["item_id"] for one in told(box, "drop_changed")).most_common(1)[0][1] == 1
    assert len(told(box, "drop_changed")) == FIRST + LATER


def test_one_that_is_cancelled_is_read_no_more(box):
    folder = gathering(box, 99, {"drop": watched(box)})
    drop(box, 1)
    run = box.start("blueprint", "run", str(folder))
    until(lambda: was_read(box))
    box.call("job", "cancel", "last")
    run.wait(timeout=30)
    drop(box, 2)
    assert len(told(box, "drop_changed")) == 1
    assert box.status() == "cancelled"
