"""The programs of the blueprints that show a workflow pattern, one by one."""

import gzip
import itertools
import json
from pathlib import Path

import pytest

SHARING = [
    "clock_source/payloads/clocks",
    "cold_store_check/payloads/inspection",
    "field_survey/payloads/survey",
    "leak_search/payloads/pipes",
    "meter_readout/payloads/meter_bus",
    "picture_sync/payloads/archive",
    "position_fix/payloads/bridge",
    "probe_vote/payloads/probes",
    "readings_backup/payloads/spooler",
    "sample_triage/payloads/sample_lab",
    "setting_rollout/payloads/rollout",
    "shipment_import/payloads/goods_in",
    "tide_table/payloads/tide_desk",
]


def payload(blueprint):
    return blueprint.config["inputs"]["payload"]


def given(blueprint, **changes):
    """Return the environment of a worker that reads the config of the run."""
    config = {"inputs": {"payload": payload(blueprint) | changes}}
    return {"MN_BLUEPRINT_CONFIG_JSON": json.dumps(config)}


def parent(step_id, output=None, outcome="success"):
    return {"step_id": step_id, "outcome": outcome, "output": output}


def test_what_the_workers_share_is_the_same_everywhere(bench):
    catalogue = bench("tide_table").folder.parent
    texts = {(catalogue / place / "step.py").read_text() for place in SHARING}
    assert len(texts) == 1
    assert sorted(
        str(path.parent.relative_to(catalogue)) for path in catalogue.rglob("step.py")
    ) == (SHARING)


def test_the_tide_turns_about_every_six_hours(bench):
    blueprint = bench("tide_table")
    station = blueprint.run("read_station", payload(blueprint)).sent[0]["body"]
    heights = blueprint.run("predict", station).sent[0]["body"]
    turns = blueprint.run("find_turns", heights).sent[0]["body"]["turns"]
    assert [turn["water"] for turn in turns[:4]] == ["high", "low", "high", "low"]
    gaps = [b["hour"] - a["hour"] for a, b in itertools.pairwise(turns)]
    assert all(5.5 <= gap <= 7 for gap in gaps)


def test_a_station_that_is_not_in_the_table_is_refused_with_those_that_are(bench):
    blueprint = bench("tide_table")
    ran = blueprint.run("read_station", payload(blueprint) | {"station": "Nowhere"})
    assert ran.exit_code == 1
    assert "there are: Model Haven, Pattern Sound" in ran.stderr


def test_a_reading_without_a_series_is_refused(bench):
    blueprint = bench("cold_store_check")
    ran = blueprint.run("take_reading", payload(blueprint) | {"volts": []})
    assert (ran.exit_code, "lacks volts" in ran.stderr) == (1, True)


@pytest.mark.parametrize("attempt, arrives", [(1, False), (2, False), (3, True)])
def test_a_telegram_arrives_by_its_attempt(attempt, arrives, bench):
    blueprint = bench("meter_readout")
    told = {"MN_WORKFLOW_ATTEMPT": str(attempt)}
    ran = blueprint.run("read_meter", payload(blueprint), environment=told)
    assert (ran.exit_code == 0) is arrives
    assert arrives or f"telegram {attempt}: checksum" in ran.stderr


def test_the_shell_worker_hands_the_order_on_as_it_came(bench):
    blueprint = bench("meter_readout")
    ran = blueprint.run("wake_meter", payload(blueprint))
    assert ran.sent == [{"type": "meter_awake", "body": payload(blueprint)}]
    assert ran.launches == "job/wake_meter:1/1\n"


@pytest.mark.parametrize("course, north, east", [(0, 3.5, 0), (90, 0, 3.5), (180, -3.5, 0)])
def test_a_position_is_reckoned_from_course_and_distance(course, north, east, bench):
    blueprint = bench("position_fix")
    told = given(blueprint, course_deg=course, last_position=[0.0, 0.0])
    latitude, longitude = blueprint.run("dead_reckoning", {}, environment=told).sent[0]["body"][
        "position"
    ]
    assert (round(latitude * 60, 1), round(longitude * 60, 1)) == (north, east)


@pytest.mark.parametrize("limit, way", [(0.43, "log_routine"), (0.42, "order_retest")])
def test_a_sample_at_the_limit_is_tested_again(limit, way, bench):
    blueprint = bench("sample_triage")
    measured = blueprint.run("measure_sample", payload(blueprint) | {"limit_ntu": limit})
    ran = blueprint.run("triage", measured.sent[0]["body"])
    assert ran.told == {"workflow_step_branch": {"branch": way}}
    assert ran.answer["complete_step"]["way"] == way


def test_a_picture_whose_checksum_changed_is_new(bench):
    blueprint = bench("picture_sync")
    changed = payload(blueprint)["in_archive"] | {"0612.jpg": "ffff"}
    listed = blueprint.run("list_pictures", payload(blueprint) | {"in_archive": changed})
    ran = blueprint.run("compare", listed.sent[0]["body"])
    assert ran.sent[0]["body"]["new"] == {"0612.jpg": "77c0"}


def test_a_copy_that_differs_fails(bench):
    made = {"camera": "c", "seen": 1, "new": {"a": "1"}, "copies": {"a": "2"}}
    ran = bench("picture_sync").run("verify_copies", made)
    assert (ran.exit_code, "copies differ: a" in ran.stderr) == (1, True)


def test_a_vote_is_the_same_whichever_probe_answers_last(bench):
    blueprint = bench("probe_vote")
    answers = {
        name: {"tank": "t", "probe": name, "degrees_c": degrees}
        for name, degrees in (("probe_c", 9.0), ("probe_b", 2.0), ("probe_a", 1.0))
    }
    parents = [parent(name, answer) for name, answer in answers.items()]
    settled = blueprint.run("settle_value", {}, parents=parents).sent[0]["body"]
    assert (settled["degrees_c"], settled["probes"]) == (1.5, ["probe_a", "probe_b"])


def test_a_pack_holds_the_readings_and_is_the_same_each_time(bench, tmp_path):
    blueprint = bench("readings_backup")
    (tmp_path / "spool").mkdir()
    told = {"MN_RUN_DIR": str(tmp_path)}
    packs = []
    for _ in range(2):
        assert blueprint.run("pack_readings", payload(blueprint), environment=told).exit_code == 0
        packs.append((tmp_path / "spool" / "readings.ndjson.gz").read_bytes())
    assert packs[0] == packs[1]
    lines = gzip.decompress(packs[0]).decode().splitlines()
    assert [json.loads(line) for line in lines] == payload(blueprint)["readings"]


def test_a_spool_is_cleared_twice_without_harm(bench, tmp_path):
    blueprint = bench("readings_backup")
    Path(tmp_path, "spool").mkdir()
    parents = [parent("pack_readings"), parent("ship_backup", outcome="failed")]
    for _ in range(2):
        ran = blueprint.run(
            "clear_spool", {}, parents=parents, environment={"MN_RUN_DIR": str(tmp_path)}
        )
        report = ran.sent[0]["body"]
        assert (report["shipped"], report["failed_steps"]) == (False, ["ship_backup"])
        assert report["spool_cleared"]


def test_a_map_is_drawn_in_the_order_of_the_plan(bench):
    blueprint = bench("field_survey")
    parents = [
        parent(f"assess_plot[{n}]", {"number": n, "plot": f"p{n}", "mean": n / 10, "dry": n < 2})
        for n in (2, 0, 1)
    ]
    ran = blueprint.run("draw_map", {}, parents=parents, environment=given(blueprint))
    drawn = ran.sent[0]["body"]
    assert (list(drawn["plots"]), drawn["water"]) == (["p0", "p1", "p2"], ["p0", "p1"])


def test_rows_are_booked_from_where_the_state_says(bench):
    blueprint = bench("shipment_import")
    state = {"next": 8, "stock": {"clamp": 1}, "batches": 3}
    ran = blueprint.run(
        "import_rows", payload(blueprint), state=state, environment={"MN_WORKFLOW_ATTEMPT": "2"}
    )
    assert ran.answer["complete_step"]["stock"] == {"clamp": 31, "nut M6": 20}
    assert ran.answer["next_state"]["next"] == 10


def test_a_patch_names_the_revision_it_was_made_for(bench):
    blueprint = bench("leak_search")
    ran = blueprint.run("test_pressure", payload(blueprint), revision=4)
    patch = ran.told["workflow_graph_patch"]
    assert patch["base_revision"] == 4
    added = [one["id"] for one in patch["operations"] if one["op"] == "add_step"]
    assert added == ["inspect_s2", "inspect_s4"]


def test_no_suspect_makes_no_patch(bench):
    blueprint = bench("leak_search")
    ran = blueprint.run("test_pressure", payload(blueprint) | {"drop_limit_bar": 9})
    assert (ran.told, ran.answer["complete_step"]["suspects"]) == ({}, [])


def test_who_is_not_asked_gives_the_boxes_their_old_setting(bench):
    blueprint = bench("setting_rollout")
    back = blueprint.run("roll_back", {}, environment=given(blueprint)).sent[0]["body"]
    assert set(back["boxes"]) == {"box-1", "box-2", "box-3"}
    assert all(setting == payload(blueprint)["before"] for setting in back["boxes"].values())
