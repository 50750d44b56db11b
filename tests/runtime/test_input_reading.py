import json
from types import SimpleNamespace

import msgspec
import pytest
import trio

from mnedge.bundle.load import open_bundle
from mnedge.bundle.problem import BundleInvalidError
from mnedge.errors import UnavailableError, UsageError
from mnedge.ports import Batch, Item
from mnedge.runtime import input_reading, jobs
from mnedge.runtime.input_reading import ConnectorBrokenError, asked, checked, notes_of
from mnedge.runtime.submission import submit
from tests.runtime.rig import EPOCH, a_rig
from tests.runtime.sources import Listed, a_small_bundle, by_name
from tests.runtime.test_submission import RUNNERS

ENTRY = {"skill": "s", "connector": "listed", "path": "x"}


class Readings:
    """Submits a small bundle with input skills."""

    def __init__(self, rig, place):
        self.rig = rig
        self.place = place
        self.source = Listed(items=["a", "b"])

    async def spec(self, skills, *, inputs=None, connectors=None, environ=None, **config):
        given = {"mode": "live", "inputs": {"payload": {"old": 1}, "skills": skills}, **config}
        root = a_small_bundle(self.place, given)
        settings = msgspec.structs.replace(self.rig.config, environ=environ or {})
        with open_bundle(root, inputs=inputs, environ=settings.environ) as bundle:
            record = await submit(
                self.rig.store,
                settings,
                bundle,
                runners=RUNNERS,
                now=lambda: EPOCH,
                connectors=by_name(self.source) if connectors is None else connectors,
            )
        return await jobs.read_spec(self.rig.store, record.job_id)

    async def refused(self, skills, **more):
        with pytest.raises(BundleInvalidError) as caught:
            await self.spec(skills, **more)
        assert await jobs.list_jobs(self.rig.store) == []
        return [problem["message"] for problem in caught.value.details["problems"]]


@pytest.fixture
async def readings(tmp_path):
    async with a_rig(tmp_path) as rig:
        yield Readings(rig, tmp_path / "bundle")


async def test_what_is_read_joins_the_inputs_and_the_config_with_its_source(readings):
    spec = await readings.spec({"site": ENTRY})
    assert spec.inputs == {"old": 1, "site": [{"n": "a"}, {"n": "b"}]}
    assert spec.config["inputs"]["payload"] == spec.inputs
    told = spec.input_sources["site"]
    assert (told["status"], told["connector"], told["count"]) == ("read", "listed", 2)
    assert told["items"][1] == {"item_id": "item-1", "source_ref": {"at": 1}}
    assert spec.live_inputs == []


async def test_what_was_given_is_not_read_again(readings):
    spec = await readings.spec({"site": ENTRY, "more": ENTRY}, inputs={"site": "here"})
    assert spec.inputs == {"site": "here", "more": [{"n": "a"}, {"n": "b"}]}
    assert spec.input_sources["site"]["status"] == "given"
    assert len(readings.source.asked) == 1


async def test_a_job_that_is_tried_again_keeps_what_was_read_and_where_from(readings):
    first = await readings.spec({"site": ENTRY})
    root = a_small_bundle(readings.place, {"mode": "live"})
    with open_bundle(root, overrides=first.config, inputs=first.inputs) as bundle:
        bundle.input_sources = first.input_sources
        record = await submit(
            readings.rig.store,
            readings.rig.config,
            bundle,
            runners=RUNNERS,
            now=lambda: EPOCH + 1,
            connectors=by_name(readings.source),
        )
    again = await jobs.read_spec(readings.rig.store, record.job_id)
    assert again.inputs == first.inputs
    assert again.input_sources == first.input_sources
    assert len(readings.source.asked) == 1


@pytest.mark.parametrize("how", ["mode", "skill", "environment"])
async def test_in_a_mock_run_nobody_is_asked_and_a_fixture_stands_in(readings, how):
    entry = {**ENTRY, "fixture": [{"n": 0}], **({"mock": True} if how == "skill" else {})}
    spec = await readings.spec(
        {"site": entry, "bare": {**entry, "fixture": None}, "drop": {**entry, "live": True}},
        connectors={} if how != "skill" else None,
        environ={"MN_BLUEPRINT_FAKE_SKILLS": "1"} if how == "environment" else None,
        **({"mode": "mock"} if how == "mode" else {}),
    )
    assert spec.inputs == {"old": 1, "site": [{"n": 0}]}
    assert spec.input_sources["site"]["mock"] is True
    assert spec.live_inputs == []
    assert readings.source.asked == []


async def test_a_live_one_is_left_for_the_host(readings):
    entry = {**ENTRY, "live": True, "events": ["thing_came"], "to": "start", "required": True}
    spec = await readings.spec(
        {"drop": entry}, backpressure={"connectors": {"listed": {"max_reads_per_minute": 6}}}
    )
    (live,) = spec.live_inputs
    assert (live.name, live.connector, live.settings) == ("drop", "listed", {"path": "x"})
    assert (live.to, live.required, live.max_reads_per_minute) == (["start"], True, 6)
    assert spec.input_sources["drop"]["status"] == "live"
    assert readings.source.asked == []


async def test_a_source_that_is_away_refuses_the_run_if_it_is_required_and_else_is_told(readings):
    readings.source.fails = [UnavailableError("it is away"), UnavailableError("it is away")]
    assert await readings.refused({"site": {**ENTRY, "required": True}}) == [
        "input skill site: it is away"
    ]
    spec = await readings.spec({"site": ENTRY})
    assert spec.inputs == {"old": 1}
    assert spec.input_sources["site"]["error"]["message"] == "it is away"


async def test_a_connector_that_is_not_here_too(readings):
    assert await readings.refused({"site": {**ENTRY, "required": True}}, connectors={}) == [
        "input skill site: this node has no connector 'listed'"
    ]
    spec = await readings.spec({"site": ENTRY}, connectors={})
    assert spec.input_sources["site"]["status"] == "unsupported"


async def test_a_job_begins_with_telling_what_it_goes_without(readings):
    readings.source.fails = [UnavailableError("it is away")]
    spec = await readings.spec(
        {"site": ENTRY, "ocr": {**ENTRY, "connector": "other"}, "more": ENTRY}
    )
    told = {(one.type, one.payload["name"]): one.payload["error"] for one in notes_of(spec, 5.0)}
    assert told == {
        ("input_skill_failed", "site"): "it is away",
        ("input_skill_unsupported", "ocr"): "no connector of that name is here",
    }


async def test_settings_with_problems_refuse_the_run_all_at_once(readings):
    found = await readings.refused(
        {"a": {**ENTRY, "colour": "red"}, "b": {**ENTRY, "live": True, "shape": "round"}}
    )
    assert found == ["input skill a: colour is no setting", "input skill b: shape is no setting"]


async def test_a_live_one_is_checked_before_the_run(readings):
    found = await readings.refused({"b": {**ENTRY, "live": True, "to": "nobody", "events": ["J"]}})
    assert "cannot be an event type" in found[0]
    assert found[1] == "input skill b: there is no agent 'nobody'"


async def test_a_variable_that_is_missing_is_named_and_its_value_is_kept_nowhere(readings):
    entry = {**ENTRY, "auth_env": "KEY", "required": True}
    (message,) = await readings.refused({"site": entry})
    assert message == "input skill site: auth_env names the variable 'KEY', which is not set"
    spec = await readings.spec({"site": entry}, environ={"KEY": "a-hidden-value"})
    assert readings.source.settings[0]["auth"] == "a-hidden-value"
    assert b"a-hidden-value" not in msgspec.json.encode(spec)


async def test_the_budget_bounds_how_many_are_read(readings):
    spec = await readings.spec({"a": ENTRY, "b": ENTRY}, budgets={"max_connector_reads": 1})
    assert list(spec.inputs) == ["old", "a"]
    assert "allows no more reads" in spec.input_sources["b"]["error"]["message"]


async def test_too_much_is_refused(readings, monkeypatch):
    monkeypatch.setattr(input_reading, "MOST_BYTES", 10)
    (message,) = await readings.refused({"site": {**ENTRY, "required": True}})
    assert "brings more than" in message


async def test_one_that_never_answers_is_given_up(readings, autojump_clock):
    class Silent(Listed):
        async def read(self, settings, cursor=None, *, folder):
            await trio.sleep_forever()

    (message,) = await readings.refused(
        {"site": {**ENTRY, "required": True}}, connectors=by_name(Silent())
    )
    assert "did not answer in 60 s" in message


async def test_a_bundle_without_input_skills_is_as_it_was(readings):
    spec = await readings.spec({})
    assert spec.inputs == {"old": 1}
    assert spec.input_sources == {}


class Odd(Listed):
    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    async def read(self, settings, cursor=None, *, folder):
        await trio.lowlevel.checkpoint()
        if isinstance(self.batch, Exception):
            raise self.batch
        return self.batch


GOOD = Item(item_id="a", event="b")


@pytest.mark.parametrize(
    "batch",
    [
        KeyError("x"),
        None,
        Batch([GOOD], "x" * 70_000),
        Batch([GOOD], None),
        Batch([SimpleNamespace(item_id=1)], ""),
        Batch([Item(item_id=3, event="b")], ""),
        Batch([Item(item_id="a", event="b", body={"x": object()})], ""),
        Batch([Item(item_id="\ud800", event="b")], ""),
    ],
)
async def test_whatever_a_plugin_does_it_is_told_under_its_name(batch):
    with pytest.raises(ConnectorBrokenError, match="connector listed broke"):
        await asked(Odd(batch), {}, None, folder="")


async def test_what_the_port_allows_goes_through():
    assert await asked(Odd(Batch([GOOD], "c")), {}, None, folder="") == Batch([GOOD], "c")
    with pytest.raises(UsageError, match="never"):
        await asked(Odd(UsageError("never")), {}, None, folder="")


def test_a_check_that_raises_is_told_under_its_name():
    class Raising(Listed):
        def check(self, settings):
            raise TypeError

    with pytest.raises(ConnectorBrokenError, match="connector listed broke: TypeError"):
        checked(Raising(), {})
    assert json.dumps(checked(Listed(), {"x": 1})) == '["x is no setting"]'
