"""The workflow that the manual shows whole is what it says: valid, and decided by a person."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.box import ROOT, Box, until

pytestmark = pytest.mark.live

PAGE = (ROOT / "mnedge" / "docs" / "workflows.md").read_text()


@pytest.fixture
def box(tmp_path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    made.close()


@pytest.fixture
def thermometers(tmp_path) -> Path:
    """The bundle, written as a reader of the page would."""
    folder = tmp_path / "thermometers"
    for name, text in re.findall(r"(?ms)^`([\w./]+)`\n\n```\w*\n(.*?)^```$", PAGE):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def asked(box: Box) -> bool:
    return any(
        "human_input_requested" in file.read_text() for file in box.home.rglob("human.jsonl")
    )


def test_the_page_draws_the_files_that_it_shows(thermometers):
    [tree] = re.findall(r"(?ms)^```\n(thermometers/\n.*?)^```$", PAGE)
    drawn = {line.split("── ")[-1].strip("/") for line in tree.splitlines()}
    assert drawn == {"thermometers"} | {path.name for path in thermometers.rglob("*")}


def test_the_workflow_in_the_manual_is_valid_and_runs_once_it_is_approved(box, thermometers):
    told = box.json("blueprint", "validate", str(thermometers))
    assert [one for one in told["problems"] if one["severity"] == "error"] == []
    run = box.start("blueprint", "run", "--folder", str(thermometers), "--quiet")
    until(lambda: asked(box) or run.poll() is not None)
    box.call("job", "approve", "last", "--comment", "looks good")
    assert run.wait() == 0, run.communicate()
    result = box.json("job", "result", "last")["result"]
    assert result["last_message"] == {"difference": 0.5, "by": "approve"}
    tried = {one["id"]: one["attempt_count"] for one in box.json("job", "steps", "last")}
    once = dict.fromkeys(["start", "read_left", "compare", "approve", "publish"], 1)
    assert tried == {**once, "read_right": 2}
