"""Streams and skills that cannot be used."""

import pytest

from mnedge.bundle.rules import config_skills
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check

FILE = "config/default.json"


def declared(section, **entries):
    def edit(p: Parts):
        p.config[section] = entries
        p.config["interfaces"]["config_sections"] = [*p.config]

    return edit


def skill(**entry):
    return declared("output_skills", notify=entry)


STREAM = {"kind": "video", "transport": "rtsp", "uri": "rtsp://camera", "enabled": True}
LIVE = {"skill": "drive.folder", "connector": "drive", "folder_id": "x", "live": True}

CASES = [
    Case(
        "C-11",
        declared("streams", door={**STREAM, "kind": "smell"}),
        "streams.door.kind",
        "no known kind",
        ["audio", "video", "data", "multimodal"],
        file=FILE,
    ),
    Case(
        "C-11", declared("streams", door=["rtsp"]), "streams.door", "must be an object", file=FILE
    ),
    Case(
        "C-11",
        declared("streams", door={**STREAM, "transport": "rtsp_or_rtmp"}),
        "streams.door.transport",
        "no known transport",
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-11",
        lambda p: p.config["inputs"].update(streams={"door": {}}),
        "inputs.streams.door.kind",
        "no known kind",
        file=FILE,
    ),
    Case(
        "C-21",
        skill(connector="slack"),
        "output_skills.notify.skill",
        "does not name its skill",
        "a text such as slack.send_message",
        file=FILE,
    ),
    Case(
        "C-21",
        declared("input_skills", room=[]),
        "input_skills.room",
        "must be an object",
        file=FILE,
    ),
    Case(
        "C-22",
        declared("input_skills", room=LIVE),
        "input_skills.room.events",
        "declares no events",
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-31",
        declared("streams", door={**STREAM, "uri": ""}),
        "streams.door",
        "neither uri",
        file=FILE,
        weight="W",
    ),
    Case(
        "C-32",
        skill(skill="slack.send"),
        "output_skills.notify",
        "does not say connector, content, destination",
        file=FILE,
        weight="W",
    ),
    Case(
        "C-32",
        declared("input_skills", room={"skill": "x"}),
        "input_skills.room",
        "does not say connector, live, source identity",
        file=FILE,
        weight="W",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(config_skills, CASES)


def test_flags_among_the_entries_are_no_entries():
    parts = Parts()
    declared("streams", enabled=False, door=STREAM)(parts)
    assert parts.opened("strict").problems == []


def test_complete_skills_are_right():
    parts = Parts()
    declared("input_skills", room={**LIVE, "events": {"on_change": "changed"}})(parts)
    skill(skill="slack.send", connector="slack", content="summary", channel_id="x")(parts)
    assert parts.opened("strict").problems == []


def test_a_stream_that_is_off_needs_no_source():
    parts = Parts()
    declared("streams", door={**STREAM, "uri": "", "enabled": False})(parts)
    assert parts.opened("strict").problems == []
