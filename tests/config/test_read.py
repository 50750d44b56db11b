from pathlib import Path

import pytest

from mnedge.config.read import SettingInvalidError, read_config


def test_folders_follow_home_unless_they_are_named():
    config = read_config({"HOME": "/ada"})
    assert config.home == Path("/ada/.mn")
    assert config.data_dir == Path("/ada/.mn/mnedge")
    assert config.runs_root == Path("/ada/.mn/runs")
    config = read_config({"HOME": "/ada", "MN_HOME": "/m", "MN_RUNS_ROOT": "/r"})
    assert (config.data_dir, config.runs_root) == (Path("/m/mnedge"), Path("/r"))


def test_a_flag_wins_over_the_environment():
    environ = {"HOME": "/h", "MNEDGE_DATA_DIR": "/env"}
    assert read_config(environ).data_dir == Path("/env")
    assert read_config(environ, data_dir="/flag").data_dir == Path("/flag")


def test_without_a_home_there_is_still_an_absolute_place():
    assert read_config({}).data_dir == Path("/.mn/mnedge")


@pytest.mark.parametrize(
    "name, value",
    [
        ("MNEDGE_DURABILITY", "MAYBE"),
        ("MNEDGE_INHERIT_ENVIRONMENT", "perhaps"),
        ("MNEDGE_OPENSHELL_FALLBACK", "2"),
        ("MNEDGE_SNAPSHOT_BYTES", "-1"),
        ("MNEDGE_SNAPSHOT_BYTES", "4MB"),
    ],
)
def test_an_unknown_value_names_the_variable_and_what_it_may_be(name, value):
    with pytest.raises(SettingInvalidError, match=name) as caught:
        read_config({name: value})
    assert caught.value.hint.startswith("set it to")


def test_switches_and_lists_are_read():
    config = read_config(
        {
            "MNEDGE_INHERIT_ENVIRONMENT": "yes",
            "MNEDGE_OPENSHELL_FALLBACK": "off",
            "MNEDGE_PLUGINS": "acme_runner,acme_skill",
            "MNEDGE_DURABILITY": "normal",
            "MNEDGE_SNAPSHOT_BYTES": "1000",
        }
    )
    assert config.inherit_environment
    assert not config.openshell_fallback
    assert config.plugins == ("acme_runner", "acme_skill")
    assert config.durability == "NORMAL"
    assert config.snapshot_bytes == 1000
