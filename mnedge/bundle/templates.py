"""Agent templates: turn `uses` and `with` into an agent's type and config.

Source: bundle format 2.8. An agent that has `agent_type` and `config` already is rendered; its
`uses` only says where it came from, and `with` is never merged into its config.

Of what a step says about its attempts only the timeout is projected into the agent's config. How
often the step is tried, and how soon again, the ledger knows by itself; in the agent's config the
same numbers would repeat transient failures inside every attempt.
"""

from typing import Any, Protocol

from msgspec import Struct, field

from mnedge.bundle.config import merged
from mnedge.bundle.subject import JsonObject, as_number, is_text, mapping

HOST_LOCAL = "MirrorNeuron.Runner.HostLocal"
DOCKER = "MirrorNeuron.Runner.DockerWorker"
OPENSHELL = "MirrorNeuron.Runner.OpenShell"
PREFIX = "mn-agents."

_OF_THE_AGENT = ("agent_type", "type", "role", "workdir_template", "script")
_NOT_CONFIG = (
    "node_type",
    "role",
    "script",
    "upload_path",
    "upload_as",
    "workdir",
    "alias",
    "display_name",
    "stereotype",
)
_BEACON: JsonObject = {
    "beacon_enabled": True,
    "beacon_interval_ms": 15000,
    "beacon_timeout_ms": 45000,
    "beacon_missed_action": "fail_attempt",
}


class Template(Struct, frozen=True, kw_only=True):
    """One built-in template."""

    agent_type: str
    type: str
    defaults: JsonObject = field(default_factory=dict)
    required: tuple[str, ...] = ()
    unless_command: tuple[str, ...] = ()
    """Required only where no `command` is given."""
    python: bool = False
    """A Python executor: it must send beacons of its own."""


class TemplateProblemError(ValueError):
    """An agent cannot be rendered; `rule` says which rule it breaks."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


def _on(runner: str, **more: Any) -> JsonObject:
    return {"runner_module": runner, **more}


_PYTHON_HOST = _on(
    HOST_LOCAL,
    pool="default",
    pool_slots=1,
    tty=False,
    no_keep=True,
    no_auto_providers=True,
    workdir_template="/sandbox/job/{upload_path}",
)

BUILT_IN: dict[str, Template] = {
    "data_python_executor": Template(
        agent_type="executor",
        type="generic",
        defaults=_PYTHON_HOST,
        required=("upload_path",),
        unless_command=("script",),
        python=True,
    ),
    "data_python_workflow": Template(
        agent_type="executor",
        type="generic",
        defaults=_on(HOST_LOCAL, script="mn_worker.py"),
        required=("module", "upload_path"),
        python=True,
    ),
    "data_llm_decision": Template(
        agent_type="executor",
        type="map",
        defaults=_on(HOST_LOCAL),
        required=("llm_config", "role"),
    ),
    "data_llm_tool": Template(
        agent_type="executor",
        type="map",
        defaults=_on(HOST_LOCAL),
        required=("llm_config", "role", "tools"),
    ),
    "data_module": Template(agent_type="module", type="generic", required=("module",)),
    "data_observer": Template(
        agent_type="executor",
        type="map",
        defaults=_on(HOST_LOCAL),
        required=("observation_source",),
    ),
    "data_edge_model": Template(
        agent_type="executor",
        type="map",
        defaults=_on(HOST_LOCAL),
        required=("model_config", "device_profile"),
    ),
    "data_sandboxed_codegen": Template(
        agent_type="executor",
        type="map",
        defaults=_on(OPENSHELL),
        required=("llm_config", "task", "sandbox"),
    ),
    "data_openshell_service": Template(
        agent_type="executor",
        type="generic",
        defaults=_on(OPENSHELL, required=True),
        required=("custom_openshell_image", "container_port", "external_port", "tunnel"),
    ),
    "control_router": Template(agent_type="router", type="map"),
    "control_join": Template(
        agent_type="aggregator",
        type="reduce",
        defaults={"role": "result_sink", "complete_on_message": True},
    ),
    "control_approval_gate": Template(agent_type="router", type="map", required=("approval_mode",)),
    "control_checkpoint": Template(
        agent_type="executor",
        type="map",
        defaults=_on(HOST_LOCAL),
        required=("checkpoint_key",),
    ),
    "control_input_listener": Template(
        agent_type="module", type="stream", required=("skill_name",)
    ),
    "control_lifecycle": Template(agent_type="router", type="map", required=("action",)),
    "control_message_filter": Template(agent_type="router", type="map", required=("predicate",)),
    "control_output_fanout": Template(
        agent_type="executor", type="reduce", defaults=_on(HOST_LOCAL), required=("content",)
    ),
    "control_retry": Template(agent_type="router", type="map", required=("retry_policy",)),
    "control_tick_source": Template(agent_type="module", type="stream", required=("emit_type",)),
    "control_web_output": Template(
        agent_type="executor",
        type="generic",
        defaults={"primary_port": 8080, "fallback_port": 8081},
        required=("adapter",),
    ),
    "worker.python_host": Template(
        agent_type="executor",
        type="generic",
        defaults=_on(HOST_LOCAL, workdir_template="/sandbox/job/{upload_path}"),
        unless_command=("script", "upload_path"),
        python=True,
    ),
    "worker.python_docker": Template(
        agent_type="executor",
        type="generic",
        defaults=_on(DOCKER, workdir_template="/mn/job/{upload_path}"),
        python=True,
    ),
    "worker.llm_host": Template(
        agent_type="executor",
        type="map",
        defaults=_on(HOST_LOCAL),
        required=("llm_config",),
    ),
    "control.message_router": Template(agent_type="router", type="map"),
    "control.terminal_sink": Template(
        agent_type="aggregator", type="reduce", defaults={"role": "result_sink"}
    ),
    "module.beam_module": Template(agent_type="module", type="generic", required=("module",)),
    "service.openshell": Template(agent_type="service", type="generic"),
}
"""By id without the `mn-agents.` prefix; versions `1` and `1.0.0` are the same."""

_STEREOTYPES: dict[str, JsonObject] = {
    "terminal_report_sink": {
        "complete_on_message": True,
        "complete_run": True,
        "terminal_sink": True,
    },
    "blueprint_host_worker": {},
    "blueprint_docker_worker": {},
    "internal_write_worker": {},
    "public_browser_worker": {},
}


def is_rendered(agent: JsonObject) -> bool:
    """Tell whether the agent says all about itself; it is used as it is then."""
    return "uses" not in agent or ("agent_type" in agent and "config" in agent)


def is_pinned(uses: Any) -> bool:
    """Tell whether a template reference names an exact version."""
    if not isinstance(uses, str):
        return False
    name, at_sign, version = uses.rpartition("@")
    return bool(name and at_sign and version) and version != "latest"


class Catalogue(Protocol):
    """The templates that a bundle brings along."""

    def named(self, name: str, version: str) -> Template | None:
        """Return the template, or None if the bundle has none of this name and version."""


def rendered(
    agent: JsonObject,
    *,
    catalogue: Catalogue | None = None,
    control: JsonObject | None = None,
    liveness: JsonObject | None = None,
) -> JsonObject:
    """Return the agent with type and config filled in from its template.

    `control` is that of the step with the agent's id; `liveness` are settings that the job's
    executors share (`liveness_settings`). Both only fill what is absent.
    Raises: TemplateProblemError.
    """
    if is_rendered(agent):
        return agent
    template = _named(agent["uses"], catalogue)
    given = _given(mapping(agent.get("with")))
    own = mapping(agent.get("config"))
    missing = [name for name in template.required if name not in given]
    if "command" not in given and "command" not in own:
        missing += [name for name in template.unless_command if name not in given]
    if missing:
        raise TemplateProblemError(
            "T-03", f"template {agent['uses']} needs {', '.join(missing)} in `with`"
        )
    result = dict(agent)
    result["agent_type"] = agent.get("agent_type") or template.agent_type
    result["type"] = agent.get("type") or given.get("node_type") or template.type
    for name in ("role", "alias", "display_name"):
        value = agent.get(name) or given.get(name) or template.defaults.get(name)
        if is_text(value):
            result[name] = value
    result["config"] = _config(template, given, own)
    if template.agent_type == "executor":
        timeout = as_number(mapping(control).get("timeout_seconds")) or 0
        if timeout > 0:
            result["config"].setdefault("timeout_seconds", mapping(control)["timeout_seconds"])
        required = {"agent_beacon_required": True} if template.python else {}
        _listen(result["config"], {**_BEACON, **required, **(liveness or {})})
    return result


def with_liveness(agent: JsonObject, liveness: JsonObject) -> JsonObject:
    """Return an executor with the beacon settings that its job's executors share."""
    config = dict(mapping(agent.get("config")))
    _listen(config, {"beacon_enabled": True, **liveness})
    return {**agent, "config": config}


def liveness_settings(workflow_control: JsonObject) -> JsonObject:
    """Return what a job says about the beacons of all its executors, as an executor's config.

    Source: bundle format 2.4.6.
    """
    liveness = mapping(workflow_control.get("liveness"))
    if workflow_control.get("enabled") is False:
        return {}
    settings: JsonObject = {}
    for key, name in (("interval_ms", "beacon_interval_ms"), ("timeout_ms", "beacon_timeout_ms")):
        if (as_number(liveness.get(key)) or 0) > 0:
            settings[name] = liveness[key]
    if isinstance(liveness.get("required"), bool):
        settings["agent_beacon_required"] = liveness["required"]
    return settings


def _listen(config: JsonObject, settings: JsonObject) -> None:
    """Fill in beacon settings, unless the executor has switched its beacons off."""
    if config.get("beacon_enabled") is not False:
        for name, value in settings.items():
            config.setdefault(name, value)


def same_version(one: str, other: str) -> bool:
    """Tell whether two versions are one: `1`, `v1` and `1.0.0` are."""
    return _short(one) == _short(other)


def _short(version: str) -> str:
    version = version.removeprefix("v")
    while version.endswith(".0"):
        version = version.removesuffix(".0")
    return version


def _named(uses: Any, catalogue: Catalogue | None) -> Template:
    if not is_pinned(uses):
        raise TemplateProblemError("T-01", f"template reference {uses!r} names no exact version")
    name, _, version = uses.rpartition("@")
    template = catalogue.named(name, version) if catalogue is not None else None
    if template is None and same_version(version, "1"):
        template = BUILT_IN.get(name.removeprefix(PREFIX))
    if template is None:
        raise TemplateProblemError("T-02", f"agent template {uses} is not known")
    return template


def _given(with_: JsonObject) -> JsonObject:
    """Return `with`, its stereotypes merged below it."""
    stereotype = with_.get("stereotype")
    names = stereotype if isinstance(stereotype, list) else [stereotype]
    given: JsonObject = {}
    for name in names:
        if is_text(name):
            given = merged(given, _STEREOTYPES.get(name, {}))
    return merged(given, with_)


def _config(template: Template, given: JsonObject, own: JsonObject) -> JsonObject:
    config = {name: value for name, value in template.defaults.items() if name not in _OF_THE_AGENT}
    config = merged(config, {k: v for k, v in given.items() if k not in _NOT_CONFIG})
    config = merged(config, own)
    upload_path = given.get("upload_path")
    if is_text(upload_path):
        config.setdefault("upload_path", upload_path)
        config.setdefault("upload_as", given.get("upload_as") or upload_path)
    workdir = given.get("workdir")
    pattern = template.defaults.get("workdir_template")
    if is_text(workdir):
        config.setdefault("workdir", workdir)
    elif is_text(pattern) and is_text(upload_path):
        config.setdefault("workdir", str(pattern).replace("{upload_path}", str(upload_path)))
    script = given.get("script") or template.defaults.get("script")
    if is_text(script):
        config.setdefault("command", ["python3", script])
    return config
