from pathlib import Path

import pytest

from mnedge.config import read
from mnedge.config.problem import ConfigInvalidError
from mnedge.config.read import (
    ConfigFileAbsentError,
    Flags,
    SettingInvalidError,
    load_config,
    read_config,
)


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


def a_file(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return {"HOME": str(tmp_path), "MNEDGE_CONFIG": str(path)}


def test_the_file_lies_over_defaults_under_environment_under_flags(tmp_path):
    environ = a_file(
        tmp_path,
        "node: from-file\ndurability: NORMAL\nplugins: [a, b]\ndata_dir: /file\n"
        "relay: {listen: {http: '127.0.0.1:1', grpc: '127.0.0.1:2'}}\n",
    )
    loaded = load_config(environ | {"MNEDGE_NODE": "from-env"}, Flags(grpc="127.0.0.1:3"))
    config = loaded.config
    assert (config.node, config.durability, config.plugins) == ("from-env", "NORMAL", ("a", "b"))
    assert config.relay.listen.http == "127.0.0.1:1"
    assert config.relay.listen.grpc == "127.0.0.1:3"
    assert config.data_dir == Path("/file")
    assert config.file == tmp_path / "config.yaml"
    assert loaded.origin("node") == ("env", "MNEDGE_NODE")
    assert loaded.origin("durability") == ("file", f"{tmp_path}/config.yaml:2")
    assert loaded.origin("relay.listen.grpc") == ("flag", "--grpc")
    assert loaded.origin("snapshot_bytes") == ("default", "")
    assert load_config(environ, Flags(data_dir="/flag")).config.data_dir == Path("/flag")


def test_the_file_is_named_or_lies_in_the_data_directory(tmp_path):
    environ = {"HOME": str(tmp_path)}
    assert read_config(environ).file is None
    inside = tmp_path / ".mn" / "mnedge" / "config.yaml"
    inside.parent.mkdir(parents=True)
    inside.write_text("node: inside\n")
    assert read_config(environ).node == "inside"
    other = tmp_path / "other.yaml"
    other.write_text("node: other\n")
    assert read_config(environ | {"MNEDGE_CONFIG": str(other)}).node == "other"
    third = tmp_path / "third.yaml"
    third.write_text("node: third\n")
    named = read_config(environ | {"MNEDGE_CONFIG": str(other)}, file=str(third))
    assert named.node == "third"


def test_a_named_file_must_be_there(tmp_path):
    with pytest.raises(ConfigFileAbsentError, match=r"nowhere\.yaml"):
        read_config({"HOME": "/", "MNEDGE_CONFIG": str(tmp_path / "nowhere.yaml")})


def test_all_errors_of_the_file_come_at_once(tmp_path):
    environ = a_file(
        tmp_path, "nod: a\nrelay: {listen: {http: '0.0.0.0:80'}}\ntrace: {otel: {ratio: x}}\n"
    )
    with pytest.raises(ConfigInvalidError) as caught:
        read_config(environ)
    found = [(problem.path, problem.line) for problem in caught.value.problems]
    assert found == [("nod", 1), ("relay.listen.http", 2), ("trace.otel.ratio", 3)]


def test_warnings_do_not_keep_a_file_from_being_used(tmp_path):
    environ = a_file(tmp_path, "relay: {replicas: 1}\ntrace: {otel: {headers: {a: b}}}\n")
    assert [problem.rule for problem in load_config(environ).problems] == ["CFG-I01", "CFG-W01"]


def test_a_flag_that_makes_no_sense_is_told_as_such():
    with pytest.raises(ConfigInvalidError, match="at --http") as caught:
        load_config({"HOME": "/h"}, Flags(http="0.0.0.0:80"))
    assert "allowPlain" in caught.value.hint
    loaded = load_config({"HOME": "/h"}, Flags(http="127.0.0.1:0"))
    assert loaded.config.relay.listen.http == "127.0.0.1:0"


def test_an_empty_variable_is_as_good_as_none(tmp_path):
    environ = a_file(tmp_path, "plugins: [a]\nkeep_workspaces: true\nsnapshot_bytes: 1Ki\n")
    config = read_config(environ | {"MNEDGE_PLUGINS": "", "MNEDGE_KEEP_WORKSPACES": ""})
    assert (config.plugins, config.keep_workspaces, config.snapshot_bytes) == (("a",), True, 1024)


def test_an_installed_node_of_others_is_told_and_can_be_passed_over(monkeypatch, tmp_path):
    class Closed(type(tmp_path)):
        def is_file(self):
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(read, "SYSTEM_FILE", Closed("/etc/mnedge/config.yaml"))
    home = {"HOME": str(tmp_path)}
    with pytest.raises(read.ConfigForbiddenError) as error:
        read.read_config(home)
    assert "usermod" in error.value.hint
    own = read.read_config(home, data_dir=str(tmp_path / "own"))
    assert own.file is None
