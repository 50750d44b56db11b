"""What the workers of this folder share: reading what they were given, and answering."""

import json
import os


def begin():
    """Note the launch; return the body and what the runtime says about this step."""
    if path := os.environ.get("MNEDGE_LAUNCH_LOG"):
        log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(log, (os.environ.get("MNEDGE_LAUNCH", "") + "\n").encode())
        os.close(log)
    with open(os.environ["MN_INPUT_FILE"], encoding="utf-8") as file:
        body = json.load(file)
    with open(os.environ["MN_CONTEXT_FILE"], encoding="utf-8") as file:
        context = json.load(file)
    return body, context


def outputs(context):
    """Return what the steps before this one came to: {step: output}, those that succeeded."""
    parents = context["workflow"]["parents"]
    return {one["step_id"]: one["output"] for one in parents if one["outcome"] == "success"}


def finish(result, message_type, **more):
    """Complete the step with the result, and hand it on."""
    message = {"type": message_type, "body": result}
    print(json.dumps({"complete_step": result, "emit_messages": [message], **more}))
