import os
import socket
from pathlib import Path

import msgspec
import pytest

from mnedge.cli.node_checks import configuration, daemon_findings
from mnedge.config import read
from mnedge.config.read import SettingInvalidError
from mnedge.daemon.endpoints import (
    OURS,
    RUNTIME,
    Address,
    Listeners,
    own_document,
    runtime_document,
)

pytestmark = pytest.mark.live


def told(findings):
    return {finding.name: finding for finding in findings}


def test_without_a_file_there_is_nothing_to_mend(tmp_path):
    _, found = configuration({"HOME": str(tmp_path)}, None)
    assert [finding.status for finding in found] == ["absent"]


def test_a_good_file_is_named_with_its_warnings(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("node: a\ntrace: {otel: {headers: {a: geheim}}}\n")
    config, found = configuration({"HOME": "/h", "MNEDGE_CONFIG": str(file)}, None)
    assert config.node == "a"
    assert [finding.status for finding in found] == ["ok", "warning"]
    assert "geheim" not in str(found)


def test_a_bad_file_is_broken_and_the_rest_is_looked_at_all_the_same(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "config.yaml").write_text("".join(f"bad{number}: 1\n" for number in range(8)))
    config, found = configuration({"HOME": str(tmp_path)}, str(folder))
    assert config.data_dir == folder
    assert [finding.status for finding in found] == ["broken"] * 6
    assert found[-1].found == "3 more errors"
    assert found[0].found.startswith(f"{folder}/config.yaml:1:1 bad0")


def test_a_bad_file_still_says_where_the_data_are(tmp_path, monkeypatch):
    file = tmp_path / "config.yaml"
    file.write_text(f"data_dir: {tmp_path}/node\nruns_root: {tmp_path}/runs\nbad: 1\n")
    monkeypatch.setattr(read, "SYSTEM_FILE", file)
    config, [found] = configuration({"HOME": str(tmp_path)}, None)
    assert found.status == "broken"
    assert (config.data_dir, config.runs_root) == (tmp_path / "node", tmp_path / "runs")


def test_a_file_that_says_nothing_any_more_leaves_the_data_of_the_installed_node(
    tmp_path, monkeypatch
):
    file = tmp_path / "config.yaml"
    file.write_text("data_dir: /var/lib/mnedge\ndaemon:\n\tgrace: 3s\n")
    monkeypatch.setattr(read, "SYSTEM_FILE", file)
    config, [found] = configuration({"HOME": str(tmp_path)}, None)
    assert (found.status, found.name) == ("broken", "CFG-E01")
    assert config.data_dir == Path("/var/lib/mnedge")
    assert config.runs_root == Path("/var/lib/mnedge/runs")
    other = {"HOME": str(tmp_path), "MNEDGE_DATA_DIR": str(tmp_path / "mine")}
    assert configuration(other, None)[0].data_dir == tmp_path / "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone looks into the data of another")
def test_a_node_of_another_user_that_is_down_is_pointed_out(tmp_path):
    config, _ = configuration({"HOME": str(tmp_path)}, None)
    config.data_dir.mkdir(parents=True)
    os.chown(config.data_dir, 65534, 65534)
    [found] = daemon_findings(config)
    assert (found.status, "systemctl start mnedge" in found.mend) == ("warning", True)


def test_a_file_that_is_not_there_is_broken(tmp_path):
    config, [found] = configuration({"HOME": "/h", "MNEDGE_CONFIG": "/nowhere.yaml"}, str(tmp_path))
    assert (found.status, config.data_dir) == ("broken", tmp_path)


def test_a_variable_that_makes_no_sense_is_an_error(tmp_path):
    with pytest.raises(SettingInvalidError):
        configuration({"HOME": str(tmp_path), "MNEDGE_DURABILITY": "x"}, None)


def test_no_daemon_is_no_fault(tmp_path):
    config, _ = configuration({"HOME": str(tmp_path)}, None)
    assert told(daemon_findings(config))["daemon"].status == "absent"


def test_a_daemon_tells_where_it_listens(tmp_path):
    config, _ = configuration({"HOME": str(tmp_path)}, None)
    config.data_dir.mkdir(parents=True)
    listeners = Listeners(socket=str(config.socket), http=Address("127.0.0.1", 80))
    document = own_document(config, listeners, 1.0)
    Path(config.data_dir / OURS).write_bytes(msgspec.json.encode(document))
    (config.home / RUNTIME).write_bytes(msgspec.json.encode(runtime_document(config, listeners)))
    silent = told(daemon_findings(config))
    assert silent["unix socket"].status == "warning"
    assert silent["REST, console"].found == "http://127.0.0.1:80"
    assert silent["gRPC"].status == "absent"
    assert silent["published client"].status == "ok"
    (config.home / RUNTIME).write_text("{}")
    assert told(daemon_findings(config))["published client"].status == "absent"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(config.socket))
        listening.listen()
        assert told(daemon_findings(config))["unix socket"].status == "ok"
