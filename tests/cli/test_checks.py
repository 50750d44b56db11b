"""What doctor looks at: each check on a machine that has it and on one that lacks it."""

import shutil
from pathlib import Path

import pytest

from mnedge.cli import checks
from mnedge.config.read import read_config
from mnedge.daemon.clock import wall_clock
from mnedge.daemon.store import opened_store
from mnedge.model.manifest import JobSpec
from mnedge.plugins.depot import Depot, Quarantine
from mnedge.runtime.submission import submit_spec
from tests.plugins.test_depot import record as a_record

pytestmark = pytest.mark.live
EPOCH = 1_700_000_000.0


@pytest.fixture
def config(tmp_path):
    return read_config({"MN_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"})


def by_name(findings):
    return {finding.name: finding for finding in findings}


def programs(monkeypatch, **places):
    monkeypatch.setattr(shutil, "which", lambda name: places.get(name))


def script(folder, text) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_the_program_itself_is_well(monkeypatch):
    found = by_name(checks.program_findings())
    assert found["python"].status == "ok"
    assert found["version"].found
    monkeypatch.setattr(checks.native, "available", lambda: (False, "no compiler"))
    twin = by_name(checks.program_findings())["native helper"]
    assert twin.status == "absent"
    assert "no compiler" in twin.found
    monkeypatch.setattr(checks, "_open_files_limit", lambda: 64)
    assert by_name(checks.program_findings())["open files"].status == "warning"


def test_folders_that_do_not_exist_yet_are_looked_at_above(config):
    found = by_name(checks.folder_findings(config))
    assert found["data directory"].status == "ok"
    assert "free" in found["run folders"].found
    assert not config.data_dir.exists()


def test_a_folder_that_cannot_be_written_is_broken(config, tmp_path, monkeypatch):
    (tmp_path / "home").write_text("a file")
    assert by_name(checks.folder_findings(config))["data directory"].status == "broken"
    (tmp_path / "home").unlink()
    monkeypatch.setattr(checks, "_writable", lambda folder: False)
    broken = by_name(checks.folder_findings(config))["data directory"]
    assert (broken.status, "--data-dir" in broken.mend) == ("broken", True)


@pytest.mark.parametrize(
    "free,status", [(1 << 20, "broken"), (100 << 20, "warning"), (1 << 40, "ok")]
)
def test_room_on_the_disk_is_measured(config, monkeypatch, free, status):
    usage = shutil.disk_usage("/")._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    assert by_name(checks.folder_findings(config))["data directory"].status == status


def test_crash_reports_are_remembered(config):
    (config.data_dir / "crashes").mkdir(parents=True)
    (config.data_dir / "crashes" / "mnedge-crash-1.txt").write_text("")
    found = by_name(checks.folder_findings(config))["crash reports"]
    assert (found.status, found.found) == ("warning", "1 report, the newest is mnedge-crash-1.txt")


async def test_a_machine_without_jobs_has_no_database_yet(config):
    found = by_name(await checks.store_findings(config))
    assert found["database"].status == "absent"
    assert not config.data_dir.exists()


async def test_jobs_that_nobody_owns_are_pointed_out(config):
    spec = JobSpec(
        blueprint_id="b", graph_id="g", job_name="n", agents=[], edges=[], entrypoints=[], seeds={}
    )
    async with opened_store(config) as store:
        await submit_spec(store, config, spec, job_id="job-1", now=wall_clock)
    found = by_name(await checks.store_findings(config))
    assert found["database"].found == "1 job, 1 unfinished"
    assert found["without owner"].status == "warning"
    assert "recover --all" in found["without owner"].mend
    assert "daemon" not in found


async def test_a_database_that_is_something_else_is_broken(config):
    config.data_dir.mkdir(parents=True)
    (config.data_dir / "mnedge.db").write_bytes(b"not a database at all" * 100)
    found = by_name(await checks.store_findings(config))
    assert found["database"].status == "broken"
    assert found["database"].mend


def test_a_clock_that_woke_up_in_1970_is_seen():
    assert next(checks.clock_findings(60.0)).status == "warning"
    assert next(checks.clock_findings(EPOCH * 1.05)).status == "ok"


def test_interpreters_are_asked_who_they_are(monkeypatch, tmp_path):
    programs(monkeypatch, python3=shutil.which("python3"), bash="/bin/bash")
    found = by_name(checks.interpreter_findings())
    assert found["python3"].status == "ok"
    assert found["python3.11"].status == "absent"
    assert "python3.12" not in found
    assert found["bash"].status == "ok"


def test_missing_interpreters_are_told_with_what_they_are_for(monkeypatch):
    programs(monkeypatch)
    found = by_name(checks.interpreter_findings())
    assert (found["python3"].status, found["bash"].status) == ("warning", "warning")
    assert found["python3"].mend
    assert found["bash"].mend


@pytest.mark.parametrize("name,status", [("python3", "warning"), ("python3.13", "absent")])
def test_an_interpreter_that_does_not_run_is_noticed(monkeypatch, tmp_path, name, status):
    programs(monkeypatch, **{name: script(tmp_path, "exit 127")})
    assert by_name(checks.interpreter_findings())[name].status == status


def test_an_old_python_is_pointed_out(monkeypatch, tmp_path):
    programs(monkeypatch, python3=script(tmp_path, "echo 3.8.1"))
    found = by_name(checks.interpreter_findings())["python3"]
    assert (found.status, "3.8.1" in found.found) == ("warning", True)


def test_the_interpreter_that_came_along_stands_in(monkeypatch, tmp_path):
    ours = script(tmp_path / "ours", "echo 3.11.9")
    monkeypatch.setattr("mnedge.shipped.bundled_python", lambda: ours)
    programs(monkeypatch, bash="/bin/bash")
    found = by_name(checks.interpreter_findings())
    assert found["brought along"] == checks.ok("payloads", "brought along", f"{ours}, 3.11.9")
    assert found["python3"].status == "absent"
    programs(monkeypatch, python3=script(tmp_path / "box", "echo 3.8.1"), bash="/bin/bash")
    found = by_name(checks.interpreter_findings())["python3"]
    assert (found.status, found.mend) == ("absent", "")
    assert "for Python 3.11, the one brought along" in found.found


@pytest.mark.parametrize("text,status", [("default=8,gpu=1", "ok"), ("gpu=many", "warning")])
def test_slots_are_told_and_so_is_what_cannot_be_read(text, status):
    config = read_config({"MN_HOME": "/h", "MN_EXECUTOR_POOL_CAPACITIES": text})
    found = by_name(checks.runner_findings(config))["slots"]
    assert found.status == status
    assert found.found == ("default=8, gpu=1" if status == "ok" else "default=4")


def test_runners_are_asked_whether_they_can(config):
    assert by_name(checks.runner_findings(config))["host_local"].status == "ok"


def test_a_plugin_that_cannot_be_loaded_is_broken(tmp_path):
    config = read_config({"MN_HOME": str(tmp_path), "MNEDGE_PLUGINS": "no_such_plugin_anywhere"})
    found = by_name(checks.runner_findings(config))["plugins"]
    assert found.status == "broken"
    assert "no_such_plugin_anywhere" in found.found


def test_neighbours_that_are_absent_cost_nothing(monkeypatch):
    programs(monkeypatch, bwrap="/usr/bin/bwrap")
    found = by_name(checks.neighbour_findings())
    assert found["bwrap"].status == "ok"
    assert found["openshell"].status == "absent"
    assert found["redis-server"].status == "absent"


async def test_an_examination_looks_at_everything(config):
    groups = {finding.group for finding in await checks.examine(config)}
    own = {"mnedge", "folders", "store"}
    assert groups == own | {"machine", "payloads", "runners", "devices", "neighbours"}
    assert isinstance(config.data_dir, Path)


async def test_devices_and_what_kept_probes_from_them_are_told(tmp_path):
    said = {"MN_NODE_GPU_COUNT": "2", "MN_NODE_CPU_CORES": "many"}
    found = await checks.device_findings(read_config({"MN_HOME": str(tmp_path), **said}))
    assert "2 gpu" in found[0].found
    assert [one.name for one in found if one.status == "warning"] == ["environment"]
    assert "MN_NODE_CPU_CORES" in found[-1].found


def test_plugins_from_outside_are_told_by_what_becomes_of_them(tmp_path):
    config = read_config({"MN_HOME": str(tmp_path), "MNEDGE_PLUGINS": "named"})
    depot = Depot(config.data_dir / "plugins")
    bad = Quarantine(reason="it hangs", stage="probe", at=0.0, program="1")
    with depot.changing() as records:
        for name, more in (
            ("let-in", {"allowed": True}),
            ("named", {}),
            ("unasked", {}),
            ("bad", {"quarantine": bad}),
            ("library", {"entry_points": ()}),
        ):
            records[name] = a_record(name, **more)
    found = by_name(checks.plugin_findings(config))
    assert {name: one.status for name, one in found.items()} == {
        "let-in": "ok",
        "named": "ok",
        "unasked": "absent",
        "bad": "warning",
    }
    assert "it hangs" in found["bad"].found
    (depot.folder / "depot.json").write_text("?")
    assert by_name(checks.plugin_findings(config))["depot"].status == "broken"
