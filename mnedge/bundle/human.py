"""How people take part in a job, as its config or its manifest declares it.

Source: bundle format 2.4.1, 7.3.
"""

from mnedge.bundle.layout import setting
from mnedge.bundle.subject import JsonObject, as_number, is_text, listing, mapping
from mnedge.model.manifest import HumanControl

MODES = ("disabled", "notice_only", "approval_required")
UNSAID = {"mode": "disabled", "reason": "not declared"}
"""The shared default of the config section; the manifest may say more."""


def human_control(config: JsonObject, manifest: JsonObject) -> HumanControl:
    """Return what the config says, else the manifest's metadata, else the policy of its steps."""
    declared = mapping(config.get("human_control"))
    if declared.get("mode") not in MODES or declared == UNSAID:
        mirrors = (
            mapping(mapping(manifest.get("metadata")).get("human_control")),
            mapping(mapping(setting(manifest, "policy")[1]).get("human")),
        )
        declared = next((one for one in mirrors if one.get("mode") in MODES), declared)
    mode = declared.get("mode")
    if mode not in MODES or declared.get("enabled") is False:
        return HumanControl()
    allowed = [name for name in listing(declared.get("allowed_decisions")) if is_text(name)]
    default = declared.get("default_action")
    timeout_s = as_number(declared.get("timeout_seconds"))
    return HumanControl(
        mode=str(mode),
        allowed_decisions=allowed or ["approve", "reject"],
        timeout_s=timeout_s if timeout_s is not None and timeout_s > 0 else None,
        default_action=default if is_text(default) else "reject",
        blocked_actions=[
            name for name in listing(declared.get("blocked_actions")) if is_text(name)
        ],
        prompt=str(declared["prompt"]) if is_text(declared.get("prompt")) else "",
    )
