import json
import os

import msgspec
import pytest

from mnedge.model.records import JobRecord
from mnedge.model.states import JobStatus
from mnedge.runtime import shared_folders
from tests.runtime.rig import a_config, a_rig, pipeline, submitted, succeeded

RUN, SUBMISSION = "demo-1", "job_d-1-def-2"


def a_record(config, **more):
    return JobRecord(
        job_id=RUN,
        graph_id="g",
        job_name="n",
        blueprint_id="demo",
        status=JobStatus.PENDING,
        submitted_at=0.0,
        updated_at=0.0,
        run_folder=str(config.runs_root / RUN),
        **more,
    )


def a_submission(folder, target, *, proof=True):
    """Return what a client writes about its own folder, which is made."""
    root = folder / "shared" / "submissions" / SUBMISSION
    for name in ("inputs", "outputs/user", "outputs/runs"):
        (root / name).mkdir(parents=True)
    if proof:
        (root / "submission.json").write_text(json.dumps({"submission_id": SUBMISSION}))
    runs, user = root / "outputs" / "runs", root / "outputs" / "user"
    return {
        "submission_id": SUBMISSION,
        "submission_path": str(root),
        "inputs": {"root": str(root / "inputs")},
        "outputs": {"user": str(user), "runs": str(runs)},
        "output_copy": [
            {"source_path": str(runs / RUN), "target_path": str(target), "kind": "directory"},
            {"source_path": str(user), "target_path": str(folder / "wanted")},
        ],
    }


def prepared(storage):
    return pipeline(metadata={"mn_storage": storage})


def test_a_job_that_no_client_prepared_has_no_such_folders(tmp_path):
    config = a_config(tmp_path)
    record = a_record(config)
    assert shared_folders.variables(config, record, pipeline()) == {}
    shared_folders.lay_out(config, record, pipeline())
    assert list(tmp_path.iterdir()) == []


def test_the_folders_of_a_prepared_job_are_ours(tmp_path):
    config = a_config(tmp_path)
    record = a_record(config, definition_id="job_d-1")
    spec = prepared(a_submission(tmp_path / "client", tmp_path / "client" / "runs" / RUN))
    told = shared_folders.variables(config, record, spec)
    assert told == {
        "MN_JOB_DATA_DIR": str(tmp_path / "data" / "definitions" / "job_d-1"),
        "MN_JOB_OUTPUT_DIR": str(tmp_path / "runs" / RUN / "outputs"),
        "MN_JOB_SHARED_STORAGE_ROOT": str(tmp_path / "runs" / RUN / "shared"),
        "MN_STORAGE_SUBMISSION_ID": RUN,
        "MN_JOB_INPUT_DIR": spec.metadata["mn_storage"]["inputs"]["root"],
    }
    shared_folders.lay_out(config, record, spec)
    shared_folders.lay_out(config, record, spec)
    assert all(os.path.isdir(path) for name, path in told.items() if name.endswith(("DIR", "ROOT")))


def test_a_client_with_another_home_finds_the_run_folder_where_it_looks(tmp_path):
    config = a_config(tmp_path)
    record = a_record(config)
    storage = a_submission(tmp_path / "client", tmp_path / "client" / "runs" / RUN)
    shared_folders.lay_out(config, record, prepared(storage))
    run, user = (spec["source_path"] for spec in storage["output_copy"])
    assert os.path.realpath(run) == record.run_folder
    assert os.path.realpath(user) == f"{record.run_folder}/outputs"
    second = msgspec.structs.replace(record, run_folder=str(config.runs_root / "demo-2"))
    shared_folders.lay_out(config, second, prepared(storage))
    assert os.path.realpath(user) == f"{second.run_folder}/outputs"


def test_a_client_whose_runs_are_ours_copies_only_the_events_that_it_doubled(tmp_path):
    config = a_config(tmp_path)
    record = a_record(config)
    storage = a_submission(tmp_path / "client", config.runs_root / RUN)
    shared_folders.lay_out(config, record, prepared(storage))
    shared_folders.lay_out(config, record, prepared(storage))
    place = storage["output_copy"][0]["source_path"]
    assert os.listdir(place) == ["events.jsonl"]
    assert os.readlink(f"{place}/events.jsonl") == str(
        config.data_dir / "events" / RUN / "events.jsonl"
    )


def test_what_lies_in_the_clients_folder_is_not_replaced(tmp_path):
    config = a_config(tmp_path)
    storage = a_submission(tmp_path / "client", tmp_path / "elsewhere")
    run, user = (spec["source_path"] for spec in storage["output_copy"])
    for place in (run, user):
        os.makedirs(place, exist_ok=True)
        (tmp_path / place / "mine.txt").write_text("kept")
    shared_folders.lay_out(config, a_record(config), prepared(storage))
    for place in (run, user):
        assert os.listdir(place) == ["mine.txt"]


@pytest.mark.parametrize(
    "change",
    [
        {"submission_id": "another"},
        {"submission_path": "/etc"},
        {"submission_path": "relative"},
        {"submission_path": None},
        {"output_copy": [{"source_path": "/tmp/x/outputs/runs/y", "target_path": "/z"}]},
        {"output_copy": [{"source_path": 3}, "odd"]},
    ],
)
def test_no_link_is_made_outside_a_folder_that_a_client_made_for_it(tmp_path, change):
    config = a_config(tmp_path)
    storage = a_submission(tmp_path / "client", tmp_path / "elsewhere") | change
    shared_folders.lay_out(config, a_record(config), prepared(storage))
    links = [path for path in (tmp_path / "client").rglob("*") if path.is_symlink()]
    assert links == []


def test_a_folder_without_the_clients_own_file_gets_no_link(tmp_path):
    config = a_config(tmp_path)
    storage = a_submission(tmp_path / "client", tmp_path / "elsewhere", proof=False)
    shared_folders.lay_out(config, a_record(config), prepared(storage))
    assert not os.path.lexists(storage["output_copy"][0]["source_path"])


def test_a_link_may_not_climb_out_of_the_submission(tmp_path):
    config = a_config(tmp_path)
    storage = a_submission(tmp_path / "client", tmp_path / "elsewhere")
    runs = storage["outputs"]["runs"]
    storage["output_copy"] = [{"source_path": f"{runs}/../../../../x", "target_path": "/z"}]
    shared_folders.lay_out(config, a_record(config), prepared(storage))
    assert not any(path.is_symlink() for path in (tmp_path / "client").rglob("*"))


async def test_workers_are_told_of_them(tmp_path, autojump_clock):
    seen = {}

    async def work(command):
        return succeeded()

    async with a_rig(tmp_path) as rig:
        rig.executor.work["worker"] = work
        run = rig.executor.run

        async def noted(order, note):
            seen.update(order.job.variables)
            return await run(order, note)

        rig.executor.run = noted
        async with rig.host() as host:
            await submitted(rig, prepared({"submission_id": "x"}), RUN)
            await host.start_job(RUN)
            assert (await host.finished(RUN)).status is JobStatus.COMPLETED
    assert seen["MN_JOB_OUTPUT_DIR"] == str(tmp_path / "runs" / RUN / "outputs")
    assert not (tmp_path / "runs" / RUN / "outputs").exists()  # nobody used it


def test_what_workers_left_stays_when_the_job_is_over(tmp_path):
    config = a_config(tmp_path)
    record = a_record(config)
    shared_folders.lay_out(config, record, prepared({"submission_id": "x"}))
    report = config.runs_root / RUN / "outputs" / "report.txt"
    report.write_text("kept")
    shared_folders.tidy(record)
    assert report.exists()
    assert not (config.runs_root / RUN / "shared").exists()
