"""Rules about what goes in and out: inputs, outputs, streams, skills, people, pages."""

from collections.abc import Iterator

from mnedge.bundle.inputs import ADAPTERS
from mnedge.bundle.rules.config_sections import FILE
from mnedge.bundle.rules.registry import ERROR, STRICT, WARNING, Found, rule
from mnedge.bundle.subject import (
    JsonObject,
    Subject,
    is_count,
    is_number,
    is_text,
    listing,
    mapping,
)

DROP_POLICIES = ("block", "sample", "drop_oldest", "drop_newest", "skip_with_error")
HUMAN_MODES = ("disabled", "notice_only", "approval_required")
LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL")
WEB_ALIASES = {"static_report": "static_html", "disabled": "none"}
_TCP_PORTS = (8080, 8081)


@rule(
    "C-05",
    STRICT,
    "*",
    "config.adapters",
    "the blueprint must support the adapters mock, json, file and env_json",
    help=f'write "input_adapters": {list(ADAPTERS)} into interfaces'.replace("'", '"'),
)
def adapters_are_declared(subject: Subject) -> Iterator[Found]:
    """Yield if the four adapters are not declared, in all places taken together."""
    contract = mapping(subject.manifest.get("contract"))
    declared: set[str] = set()
    for names in (
        mapping(subject.supplied.get("interfaces")).get("input_adapters"),
        mapping(subject.metadata.get("interfaces")).get("input_adapters"),
        mapping(contract.get("input_adapters")).get("supported"),
        mapping(subject.metadata.get("input_contract")).get("supported_adapters"),
    ):
        members = names if isinstance(names, list | dict) else []
        declared |= {name for name in members if isinstance(name, str)}
    missing = [name for name in ADAPTERS if name not in declared]
    if missing:
        yield Found(
            file=FILE,
            at=("interfaces", "input_adapters"),
            message=f"the blueprint does not declare the adapters {', '.join(missing)}",
            expected=list(ADAPTERS),
            actual=sorted(declared),
        )


@rule(
    "C-06",
    STRICT,
    "*",
    "config.outputs",
    "must write local run store",
    help='write "outputs": {"adapter": "local_run_store", "write_run_store": true}',
)
def run_store_is_written(subject: Subject) -> Iterator[Found]:
    """Yield if the outputs go elsewhere; only warn if they do not say where."""
    outputs = subject.section("outputs")
    adapter = outputs.get("adapter")
    at = ("outputs", "adapter")
    if adapter is None:
        yield Found(
            file=FILE,
            at=at,
            message="outputs.adapter is not set",
            severity=WARNING,
            expected="local_run_store",
        )
    elif adapter != "local_run_store":
        yield Found(file=FILE, at=at, expected="local_run_store", actual=adapter)
    if outputs.get("write_run_store") is False:
        yield Found(file=FILE, at=("outputs", "write_run_store"), expected=True, actual=False)


@rule(
    "C-07",
    ERROR,
    "*",
    "config.human_mode",
    "unknown human_control.mode",
    help=f"use one of {', '.join(HUMAN_MODES)}",
)
def human_mode_is_known(subject: Subject) -> Iterator[Found]:
    """Yield an unknown mode of human control."""
    mode = subject.section("human_control").get("mode")
    if mode is not None and mode not in HUMAN_MODES:
        yield Found(
            file=FILE, at=("human_control", "mode"), expected=list(HUMAN_MODES), actual=mode
        )


@rule(
    "C-08",
    STRICT,
    "*",
    "config.human_reason",
    "disabled human control needs a reason",
    help="say in human_control.reason why nobody has to decide",
)
def disabled_control_is_explained(subject: Subject) -> Iterator[Found]:
    """Yield if human control is off without a reason."""
    control = subject.section("human_control")
    if control.get("mode") == "disabled" and not control.get("reason"):
        yield Found(file=FILE, at=("human_control", "reason"), expected="a text")


@rule(
    "C-09",
    STRICT,
    "*",
    "config.human_approval",
    "approval_required needs decisions, a timeout, a default and blocked actions",
    help="add allowed_decisions, timeout_seconds, default_action and blocked_actions",
)
def approval_is_complete(subject: Subject) -> Iterator[Found]:
    """Yield each part of an approval that is missing or cannot be used."""
    control = subject.section("human_control")
    if control.get("mode") != "approval_required":
        return
    decisions = control.get("allowed_decisions")
    timeout = control.get("timeout_seconds")
    complete = {
        "allowed_decisions": isinstance(decisions, list) and bool(decisions),
        "timeout_seconds": is_number(timeout) and timeout > 0,
        "default_action": is_text(control.get("default_action")),
        "blocked_actions": isinstance(control.get("blocked_actions"), list),
    }
    for key, good in complete.items():
        if not good:
            yield Found(
                file=FILE,
                at=("human_control", key),
                message=f"approval_required needs {key}",
                actual=control.get(key),
            )


@rule(
    "C-10",
    ERROR,
    "*",
    "config.drop_policy",
    "unknown drop_policy",
    help=f"use one of {', '.join(DROP_POLICIES)}",
)
def drop_policy_is_known(subject: Subject) -> Iterator[Found]:
    """Yield an unknown drop policy."""
    policy = subject.section("backpressure").get("drop_policy")
    if policy is not None and policy not in DROP_POLICIES:
        yield Found(
            file=FILE,
            at=("backpressure", "drop_policy"),
            expected=list(DROP_POLICIES),
            actual=policy,
        )


@rule(
    "C-12",
    STRICT,
    "*",
    "config.input_adapter",
    "unknown inputs.adapter; mock is used",
    help=f"use one of {', '.join(ADAPTERS)}",
)
def input_adapter_is_known(subject: Subject) -> Iterator[Found]:
    """Yield an unknown input adapter."""
    adapter = subject.section("inputs").get("adapter")
    if adapter is not None and adapter not in ADAPTERS:
        yield Found(file=FILE, at=("inputs", "adapter"), expected=list(ADAPTERS), actual=adapter)


@rule(
    "C-13",
    ERROR,
    "*",
    "config.input_payload",
    "inputs must be a JSON object",
    help="wrap the payload in an object, { … }",
)
def payload_is_an_object(subject: Subject) -> Iterator[Found]:
    """Yield if the payload is there and no object."""
    inputs = subject.section("inputs")
    if "payload" in inputs and not isinstance(inputs["payload"], dict):
        yield Found(
            file=FILE, at=("inputs", "payload"), expected="an object", actual=inputs["payload"]
        )


@rule(
    "C-15",
    ERROR,
    "*",
    "config.tcp_ports",
    "outputs.tcp.ports is malformed",
    help="list objects with external_port; the first is 8080, the second 8081",
)
def tcp_ports_can_be_opened(subject: Subject) -> Iterator[Found]:
    """Yield what is wrong with the fixed TCP ports."""
    ports = mapping(subject.section("outputs").get("tcp")).get("ports")
    at = ("outputs", "tcp", "ports")
    if ports is None:
        return
    if not isinstance(ports, list):
        yield Found(file=FILE, at=at, message="outputs.tcp.ports must be a list", actual=ports)
        return
    seen: set[int] = set()
    for index, entry in enumerate(ports):
        number = mapping(entry).get("external_port")
        place = (*at, index, "external_port")
        if not is_count(number, 1) or number > 65535:
            yield Found(
                file=FILE,
                at=place,
                message="external_port must be a port",
                expected="1 to 65535",
                actual=number,
            )
            continue
        if number in seen:
            yield Found(file=FILE, at=place, message=f"port {number} is taken twice", actual=number)
        seen.add(number)
        if index == 0 and number not in _TCP_PORTS:
            yield Found(
                file=FILE,
                at=place,
                message="the first TCP port must be 8080 or 8081",
                expected=list(_TCP_PORTS),
                actual=number,
            )


@rule(
    "C-41",
    WARNING,
    "*",
    "config.logging",
    "logging names an unknown level or no fields to hide",
    help=f"use a level of {', '.join(LEVELS)} and list redact_fields",
)
def logging_is_usable(subject: Subject) -> Iterator[Found]:
    """Yield an unknown level, and a missing redaction list."""
    if not isinstance(subject.config.get("logging"), dict):
        return
    section = subject.section("logging")
    level = section.get("level", "INFO")
    if not isinstance(level, str) or level.upper() not in LEVELS:
        yield Found(
            file=FILE,
            at=("logging", "level"),
            message="logging.level is no known level",
            expected=list(LEVELS),
            actual=level,
        )
    if not listing(section.get("redact_fields")):
        yield Found(
            file=FILE,
            at=("logging", "redact_fields"),
            message="logging.redact_fields lists nothing",
        )


@rule(
    "C-42",
    WARNING,
    "*",
    "config.web_adapter",
    "web_ui uses an old adapter name",
    help="use none, static_html, gradio or custom",
)
def web_adapters_are_current(subject: Subject) -> Iterator[Found]:
    """Yield each alias of a web adapter."""
    web: JsonObject = subject.section("web_ui")
    for at, holder in (
        (("web_ui",), web),
        (("web_ui", "input"), mapping(web.get("input"))),
        (("web_ui", "output"), mapping(web.get("output"))),
    ):
        name = holder.get("adapter")
        if isinstance(name, str) and name in WEB_ALIASES:
            yield Found(
                file=FILE,
                at=(*at, "adapter"),
                message=f"web_ui adapter {name} is read as {WEB_ALIASES[name]}",
                expected=WEB_ALIASES[name],
                actual=name,
            )


@rule(
    "C-43",
    WARNING,
    "*",
    "config.more_tcp_ports",
    "more TCP ports than 8080 and 8081",
    help="state every port in the config of the place that runs it",
)
def tcp_ports_are_the_two(subject: Subject) -> Iterator[Found]:
    """Yield if there are more than two ports, or others than the fixed two."""
    ports = listing(mapping(subject.section("outputs").get("tcp")).get("ports"))
    numbers = [mapping(entry).get("external_port") for entry in ports]
    if len(numbers) > len(_TCP_PORTS) or any(number not in _TCP_PORTS for number in numbers):
        yield Found(
            file=FILE, at=("outputs", "tcp", "ports"), expected=list(_TCP_PORTS), actual=numbers
        )
