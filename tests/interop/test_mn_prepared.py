"""What the published client makes of a bundle is the same job here as the bundle itself."""

import base64
import json
import os
import shutil

import msgspec
import pytest

from mnedge.bundle.load import open_bundle
from mnedge.bundle.prepared import is_prepared
from mnedge.config.settings import Config
from mnedge.runtime.received import received
from tests.conftest import ROOT
from tests.interop.mn_client import prepared

pytestmark = pytest.mark.live

BLUEPRINTS = ROOT / "blueprints"
CLIENTS_OWN = {
    *("MN_WORKSPACE_ROOT", "MN_MEMBRANE_PROJECT_PATH", "MN_MEMBRANE_SDK_PATH", "MN_SKILLS_ROOT"),
    *("MN_AGENTS_ROOT", "MN_USER_HOME", "MN_OUTPUT_HOME", "OTTERDESK_USER_HOME"),
    "MN_SELECTED_RUNTIME_NODE",
}
"""Where the client has things; workers may use them."""


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    names = json.loads((BLUEPRINTS / "index.json").read_text())["blueprints"]
    folders = [BLUEPRINTS / row["path"] for row in names if row["path"] != "rig_session"]
    told = prepared(tmp_path_factory.mktemp("prepared"), folders)
    assert [one["refused"] for one in told if "refused" in one] == []
    return told


def a_config(tmp_path, node="box") -> Config:
    return Config(
        data_dir=tmp_path / "data",
        runs_root=tmp_path / "runs",
        home=tmp_path / "mn",
        environ={"PATH": os.environ["PATH"]},
        node=node,
    )


def payloads_of(one):
    return {name: base64.b64decode(text) for name, text in one["payloads"].items()}


def plain_spec(spec, beside=None):
    """Return the job as plain data, without what only the client added."""
    told = msgspec.to_builtins(spec)
    told["fingerprint"] = ""
    told["metadata"] = {k: v for k, v in told["metadata"].items() if not k.startswith("mn_")}
    for number, agent in enumerate(told["agents"]):
        known = {} if beside is None else beside["agents"][number]["config"]
        environment = agent["config"].get("environment", {})
        for name in CLIENTS_OWN - set(known.get("environment", {})):
            environment.pop(name, None)
        if not environment:
            agent["config"].pop("environment", None)
    return told


async def test_every_blueprint_that_the_client_prepared_is_the_job_of_its_source(sent, tmp_path):
    config = a_config(tmp_path)
    assert len(sent) > 15
    for one in sent:
        assert is_prepared(one["manifest"])
        with open_bundle(one["folder"], environ={}, run_code=False) as bundle:
            wanted = plain_spec(bundle.spec_for("run-1", "/runs"))
        async with received(config, one["manifest"], payloads_of(one)) as bundle:
            assert bundle.errors == []
            got = plain_spec(bundle.spec_for("run-1", "/runs"), wanted)
        if one["folder"].endswith("text_report_pipeline"):
            for spec in (wanted, got):  # the client uploads all payloads where several are listed
                for key in ("upload_paths", "upload_path", "upload_as"):
                    spec["agents"][0]["config"].pop(key, None)
        assert got == wanted, one["folder"]


async def test_nothing_of_the_run_it_was_prepared_for_is_left(sent, tmp_path):
    for one in sent:
        async with received(a_config(tmp_path), one["manifest"], payloads_of(one)) as bundle:
            spec = bundle.spec_for("another-run", "/elsewhere")
        told = json.dumps([msgspec.to_builtins(agent) for agent in spec.agents])
        for baked in (one["run_id"], one["job_id"], "/submissions/", "MN_RUNS_ROOT"):
            assert baked not in told, one["folder"]
        assert spec.config["identity"]["run_id"] == "another-run"
        assert spec.config["outputs"]["run_root"] == "/elsewhere"


async def test_a_job_placed_on_another_node_is_refused_here(sent, tmp_path):
    placed = next(one for one in sent if one["folder"].endswith("cold_store_check"))
    with pytest.raises(Exception, match="wants another node than this one") as caught:
        async with received(a_config(tmp_path, "shed"), placed["manifest"], payloads_of(placed)):
            pass
    problems = caught.value.details["problems"]
    assert len(problems) == len(placed["manifest"]["agents"]["nodes"])
    assert {problem["actual"] for problem in problems} == {"mnedge@box"}


async def test_real_bundles_that_the_client_takes_are_the_jobs_of_their_sources(corpus, tmp_path):
    names = ["failure_fallback", "quorum", "scatter_gather"]
    demos = [f"demo_dag_{name}" for name in names]
    demos += ["demo_human_approval", "demo_retry_recovery", "demo_executor_pool"]
    folders = [whole(corpus / "mb-2026-08" / name, tmp_path / name) for name in demos]
    sent = prepared(tmp_path / "client", folders)
    for one in sent:
        assert "refused" not in one
        with open_bundle(one["folder"], environ={}, run_code=False) as bundle:
            wanted = plain_spec(bundle.spec_for("run-1", "/runs"))
        async with received(a_config(tmp_path), one["manifest"], payloads_of(one)) as bundle:
            assert bundle.errors == []
            assert plain_spec(bundle.spec_for("run-1", "/runs"), wanted) == wanted


def whole(source, target):
    """Return a copy of a bundle of which only the documents are kept: its other files are empty."""
    shutil.copytree(source, target)
    for name in (source / "files.txt").read_text().split("\n"):
        if name and not (target / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).touch()
    return target
