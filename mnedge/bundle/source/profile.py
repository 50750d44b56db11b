"""What the profile `blueprint` says where a source is silent.

Source: bundle format 2.6.2.
"""

from mnedge.bundle.subject import JsonObject

NAME = "blueprint"
VERSION = 1

MANIFEST: JsonObject = {
    "apiVersion": "mn.workflow/v2",
    "kind": "Workflow",
    "version": 1,
    "manifest_version": "1.0",
    "contract": {
        "inputs": {},
        "outputs": {
            "primary": {
                "id": "final_artifact",
                "path": "final_artifact.json",
                "type": "final_artifact",
                "version": 1,
                "schema_version": "mn.blueprint.final_artifact_contract.v1",
            },
            "artifacts": [
                {
                    "artifact_id": artifact_id,
                    "path": path,
                    "type": kind,
                    "mime_type": mime_type,
                    "producer": producer,
                    "schema_version": schema,
                }
                for artifact_id, path, kind, mime_type, producer, schema in (
                    (
                        "run_metadata",
                        "run.json",
                        "run_summary",
                        "application/json",
                        "local_run_store",
                        "mn.artifact.run_summary.v1",
                    ),
                    (
                        "resolved_config",
                        "config.json",
                        "resolved_config",
                        "application/json",
                        "local_run_store",
                        "mn.blueprint.config.v1",
                    ),
                    (
                        "event_stream",
                        "events.jsonl",
                        "event_stream",
                        "application/x-jsonlines",
                        "local_run_store",
                        "mn.blueprint.events.v1",
                    ),
                    (
                        "final_artifact",
                        "final_artifact.json",
                        "final_artifact",
                        "application/json",
                        "workflow",
                        "mn.blueprint.final_artifact.v1",
                    ),
                )
            ],
        },
        "events": {"stream": "events.jsonl", "human_stream": "human.jsonl"},
        "status": {"heartbeat": True},
    },
    "requirements": {
        "cpu": {"min_cores": 1},
        "memory": {"min_gb": 2},
        "disk": {"min_gb": 1},
        "gpu": {"min_count": 0},
    },
    "input_validation": {"rules": []},
    "interfaces": {
        "outputs": ["run.json", "config.json", "events.jsonl", "final_artifact.json"],
        "input_adapters": ["mock", "json", "file", "env_json"],
        "output_adapters": ["local_run_store"],
        "response_schema": "mn.blueprint.response.v1",
    },
}

WORKFLOW: JsonObject = {
    "schema": "mn.workflow.problem_graph/v1",
    "mode": "static_dag",
    "dynamic": {"enabled": False},
    "execution": {"strategy": "serial"},
    "policy": {"on_step_failure": "fail_workflow"},
}

WORKFLOW_CONTROL: JsonObject = {
    "schema_version": "mn.workflow.runtime_control.v1",
    "enabled": True,
    "source_of_truth": "workflow.steps",
}

STEP: JsonObject = {
    "kind": "stage",
    "label": "{{id_title}}",
    "goal": "Run {{label}}.",
    "action": "{{id}}",
    "emits": "{{id}}_completed",
    "trigger_rule": "all_success",
    "control": {
        "required": True,
        "failure_policy": "fail_workflow",
        "retry": {
            "max_attempts": 2,
            "backoff_seconds": 1,
            "backoff_multiplier": 2,
            "jitter": 0,
        },
        "timeout_seconds": 300,
        "uncertainty": {"min_confidence": 0.7, "on_low_confidence": "human_review"},
    },
}

_UNCONCERNED: JsonObject = {"min_confidence": 0, "on_low_confidence": "continue_with_warning"}
FIRST_STEP: JsonObject = {
    "kind": "source",
    "control": {"timeout_seconds": 900, "uncertainty": _UNCONCERNED},
}
LAST_STEP: JsonObject = {"kind": "sink", "control": {"uncertainty": _UNCONCERNED}}

WORKER: JsonObject = {
    "uses": "mn-agents.worker.python_docker@1",
    "agent_type": "executor",
    "type": "generic",
    "with": {
        "stereotype": "blueprint_docker_worker",
        "environment": {"MN_WORKFLOW_STEP_ID": "{{id}}"},
    },
}
STEP_RUNTIME = ["python3", "-m", "mn_sdk.step_runtime"]

BINDING: JsonObject = {
    "type": "worker",
    "strategy": "single",
    "risk": "medium",
    "side_effect": "read",
}

UPLOADS = (
    ("runtime", "runtime"),
    ("agents", "agents"),
    ("steps", "steps"),
    ("config", "config"),
    ("prompts", "prompts"),
    ("examples/sample_inputs", "{{blueprint_id}}/examples/sample_inputs"),
    ("knowledge", "knowledge"),
)
"""Folders of payloads that every worker gets, where they exist, and what they are called there."""
