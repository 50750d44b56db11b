"""What the options of `blueprint run` do to a bundle."""

import json

import pytest

from mnedge.bundle.catalogue import find
from mnedge.bundle.config import with_setting
from mnedge.bundle.problem import BundleInvalidError
from mnedge.cli.submit import OptionInvalidError, Wanted, given, opened, settings_of


def config_after(*settings):
    config = {"inputs": {"adapter": "mock", "payload": {"kept": 1}}}
    for setting in settings:
        config = with_setting(config, setting)
    return config


def test_an_input_is_set_in_the_payload_and_beats_the_adapter():
    settings = settings_of(Wanted(inputs=("first=5", "name=two words", "deep.list=[1]")))
    assert config_after(*settings)["inputs"] == {
        "adapter": "json",
        "payload": {"kept": 1, "first": 5, "name": "two words", "deep": {"list": [1]}},
    }


def test_a_whole_input_replaces_the_payload_before_single_ones_are_set():
    settings = settings_of(Wanted(input_json='{"a": "é"}', inputs=("b=2",)))
    assert config_after(*settings)["inputs"]["payload"] == {"a": "é", "b": 2}


def test_settings_come_last():
    wanted = Wanted(inputs=("a=1",), settings=("inputs.adapter=mock", "inputs.payload.a=9"))
    assert config_after(*settings_of(wanted))["inputs"]["payload"]["a"] == 9
    assert settings_of(Wanted()) == []


def test_an_object_may_stand_in_a_file(tmp_path):
    (tmp_path / "input.json").write_text('{"a": 1}')
    assert given("--input-json", f"@{tmp_path / 'input.json'}") == {"a": 1}


@pytest.mark.parametrize(
    "text,said",
    [
        ("{", "is not JSON"),
        ("[1]", "must be a JSON object, not a list"),
        ("null", "must be a JSON object, not null"),
        ("@/no/file", "names /no/file, which cannot be read: No such file"),
    ],
)
def test_what_is_no_object_is_refused_by_name(text, said):
    with pytest.raises(OptionInvalidError, match=said) as refused:
        given("--config-json", text)
    assert refused.value.message.startswith("--config-json")


def test_an_input_without_a_value_is_refused():
    with pytest.raises(OptionInvalidError, match="has no value"):
        settings_of(Wanted(inputs=("first",)))


@pytest.mark.parametrize("run_id", ["../x", "", ".hidden", "a b"])
def test_a_run_id_that_could_leave_its_folder_is_refused(run_id):
    with pytest.raises(OptionInvalidError, match="cannot name a run folder"):
        opened(find("message_routing_trace", {}), Wanted(run_id=run_id))


def test_no_run_is_called_as_the_newest_job_is():
    with pytest.raises(OptionInvalidError, match="newest job"):
        opened(find("message_routing_trace", {}), Wanted(run_id="last"))


def test_a_bundle_is_opened_with_everything_laid_over_it():
    wanted = Wanted(config_json='{"a": {"b": 1}}', settings=("a.c=2",), inputs=("x=1",))
    with opened(find("message_routing_trace", {}), wanted) as bundle:
        assert bundle.config["a"] == {"b": 1, "c": 2}
        assert bundle.inputs.payload["x"] == 1


def test_a_bundle_that_cannot_run_is_refused_with_every_problem(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"manifest_version": "1.0", "nodes": []}))
    with pytest.raises(BundleInvalidError) as refused:
        opened(tmp_path, Wanted())
    assert len(refused.value.details["problems"]) > 2
