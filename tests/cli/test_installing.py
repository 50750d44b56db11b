"""What an existing configuration says of the service, and what the program brings."""

import pytest

import mnedge
from mnedge import shipped
from mnedge.cli import installing
from mnedge.cli.installing import (
    NodeRunsError,
    group_of_node,
    layout_of,
    refuse_running,
    settings_of,
    wanted_of,
)
from mnedge.cli.one_file import NotOneFileError
from mnedge.cli.options import OptionInvalidError
from mnedge.config.layout import Layout
from mnedge.config.problem import ConfigInvalidError
from mnedge.installation.box import Box
from mnedge.installation.plan import Settings

NOTHING = {
    "no_start": False,
    "http": None,
    "grpc": None,
    "user": None,
    "networks": (),
    "replace": False,
}


def configured(tmp_path, text: str) -> Layout:
    layout = Layout(tmp_path)
    layout.config_file.parent.mkdir(parents=True)
    layout.config_file.write_text(text)
    return layout


def test_no_root_is_this_machine(tmp_path):
    assert layout_of(None) == Layout()
    assert layout_of(tmp_path).root == tmp_path


def test_without_a_configuration_the_defaults_count(tmp_path):
    assert settings_of(Layout(tmp_path)) == Settings()


def test_folders_that_are_named_are_writable_once(tmp_path):
    layout = configured(
        tmp_path,
        "data_dir: /srv/node\nruns_root: /srv/node/runs\n"
        "daemon: {skillFolders: [/srv/out, /srv/node/x]}\n"
        "relay: {listen: {socket: /run/m.sock}}\n",
    )
    settings = settings_of(layout)
    assert settings.data_dir == "/srv/node"
    assert settings.socket == "/run/m.sock"
    assert settings.writable == ("/srv/node", "/srv/out")


def test_what_a_configuration_leaves_out_is_where_the_service_has_it(tmp_path):
    settings = settings_of(configured(tmp_path, "durability: FULL\n"))
    assert settings.data_dir == "/var/lib/mnedge/mn/mnedge"
    assert settings.runs_root == "/var/lib/mnedge/mn/runs"


def test_a_wrong_configuration_stops_install_and_not_uninstall(tmp_path):
    layout = configured(tmp_path, "nonsense: 1\n")
    with pytest.raises(ConfigInvalidError):
        settings_of(layout)
    assert settings_of(layout, even_if_bad=True) == Settings()


def test_what_is_wanted_holds_program_and_completion(tmp_path, monkeypatch):
    file = tmp_path / "mnedge"
    file.write_text("program")
    monkeypatch.setattr(shipped, "frozen", lambda: True)
    monkeypatch.setattr(shipped, "_called", [str(file)])
    wanted = wanted_of(Settings(), **NOTHING)
    assert wanted.program.file == str(file)
    assert wanted.program.version == mnedge.__version__
    assert set(wanted.completions) == {"bash", "zsh", "fish"}


@pytest.mark.parametrize(
    "option, value",
    [
        ("http", "nonsense"),
        ("http", "0.0.0.0:80"),
        ("grpc", "127.0.0.1:99999"),
        ("user", "a b"),
        ("user", "-x"),
        ("user", "root"),
        ("networks", ("localhost", "300.0.0.0/8")),
    ],
)
def test_an_option_with_which_no_node_would_start_is_refused_by_name(option, value):
    with pytest.raises(OptionInvalidError) as error:
        wanted_of(Settings(), **{**NOTHING, option: value})
    assert f"--{option.removesuffix('s')}" in error.value.message
    assert error.value.hint


def test_who_may_use_the_node_is_said_with_its_own_group(tmp_path):
    layout = Layout(tmp_path)
    assert group_of_node(layout) == "mnedge"
    layout.unit.parent.mkdir(parents=True)
    layout.unit.write_text("[Service]\nUser=edge\n")
    assert group_of_node(layout) == "edge"
    layout.unit.write_text("[Service]\nUser=edge\nGroup=plant\n")
    assert group_of_node(layout) == "plant"


def test_networks_may_be_named(monkeypatch, tmp_path):
    monkeypatch.setattr(shipped, "frozen", lambda: True)
    (tmp_path / "mnedge").touch()
    monkeypatch.setattr(shipped, "_called", [str(tmp_path / "mnedge")])
    for networks in (("any",), ("localhost", "10.1.2.3/8", "fd00::/8")):
        assert wanted_of(Settings(), **{**NOTHING, "networks": networks}).networks == networks


def test_nix_installs_what_is_its_own(monkeypatch):
    monkeypatch.setattr(shipped, "NIX", "/")
    with pytest.raises(NotOneFileError) as error:
        wanted_of(Settings(), **NOTHING)
    assert "services.mnedge.enable" in error.value.hint


def test_a_node_that_runs_and_that_nobody_here_can_stop_is_not_taken_away(monkeypatch):
    monkeypatch.setattr(installing, "health_of", lambda path: {"status": "ok"})
    with pytest.raises(NodeRunsError):
        refuse_running(Box(has_systemd=False, systemd_runs=False), Settings())
    refuse_running(Box(), Settings())
    monkeypatch.setattr(installing, "health_of", lambda path: None)
    refuse_running(Box(has_systemd=False, systemd_runs=False), Settings())
