import os

import pytest

from mnedge.bundle.load import open_bundle
from mnedge.config.read import read_config
from mnedge.daemon.app import DaemonRunningError, node
from mnedge.daemon.clock import wall_clock
from mnedge.model.states import JobStatus
from mnedge.runtime.submission import submit
from tests.conftest import ROOT

pytestmark = pytest.mark.live


def a_config(tmp_path):
    return read_config({"HOME": str(tmp_path), "PATH": os.environ["PATH"]})


async def test_a_node_runs_a_bundle_with_its_real_parts(tmp_path):
    config = a_config(tmp_path)
    async with node(config) as here:
        with open_bundle(ROOT / "blueprints" / "text_report_pipeline") as bundle:
            record = await submit(here.store, config, bundle, runners=here.runners, now=wall_clock)
        await here.host.start_job(record.job_id)
        record = await here.host.finished(record.job_id)
    assert record.status is JobStatus.COMPLETED
    assert (config.runs_root / record.job_id / "final_artifact.json").exists()
    assert not list((config.data_dir / "work").glob("*"))


async def test_a_data_directory_has_one_daemon_and_any_number_of_other_nodes(tmp_path):
    config = a_config(tmp_path)
    async with node(config, adopting=True), node(config):
        with pytest.RaisesGroup(DaemonRunningError, flatten_subgroups=True, allow_unwrapped=True):
            async with node(config, adopting=True):
                pass
    async with node(config, adopting=True):
        pass
