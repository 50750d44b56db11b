"""Prints what the published client would send for bundles: its own code, with no server behind it.

Run by the interpreter that has the client, with a home of its own: mn_prepare.py FOLDER...
"""

import base64
import contextlib
import io
import json
import sys
from pathlib import Path

from mn_cli.libs.run_cmds.handlers import run
from mn_cli.shared import client

NODE = {
    "name": "mnedge@box",
    "self?": True,
    "status": "healthy",
    "coordination_store": {"identity": "box", "healthy": True, "writable_primary": True},
}
SUMMARY = {"nodes": [NODE], "jobs": []}
RESOURCES = {"totals": {"cpu_cores": 4, "memory_gb": 8}, "nodes": [{"name": NODE["name"]}]}


def prepared(folder: str) -> dict[str, object]:
    sent: dict[str, object] = {"folder": folder}

    def create_stable_job(manifest, payloads, *, job_id="", resolved_configuration=None, **_):
        sent["manifest"] = json.loads(manifest)
        sent["payloads"] = {
            name: base64.b64encode(content).decode() for name, content in payloads.items()
        }
        sent["job_id"] = job_id
        sent["configuration"] = resolved_configuration
        return json.dumps({"job_id": job_id})

    def start_run(job_id, *, run_id="", inputs=None, **_):
        sent["run_id"] = run_id
        sent["inputs"] = inputs
        return json.dumps({"run_id": run_id})

    client.get_system_summary = lambda *_, **__: json.dumps(SUMMARY)
    client.get_resource = lambda *_, **__: json.dumps(RESOURCES)
    client.create_stable_job = create_stable_job
    client.start_run = start_run
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        try:
            run.run_bundle(str(Path(folder).resolve()), detached=True, force=False)
        except BaseException as error:
            sent["refused"] = f"{error!r}: {told.getvalue()[-600:]}"
    return sent


json.dump([prepared(folder) for folder in sys.argv[1:]], sys.stdout)
