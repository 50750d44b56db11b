"""Hardware that nobody can offer."""

import pytest

from mnedge.bundle.rules import resources
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check


def needs(value):
    return lambda p: p.manifest.update(requirements={**p.manifest["requirements"], **value})


def asks(**resources):
    return lambda p: p.agent("reader").update(resources=resources)


AT = "nodes[1].resources"
VOLUME = {"name": "models", "source": "/mnt/models", "target": "/models"}

CASES = [
    Case("R-01", lambda p: p.manifest.update(requirements=[]), "requirements", "must be an object"),
    Case("R-01", needs({"memory": "much"}), "requirements.memory", "a size or a minimum"),
    Case("R-01", needs({"cpu": -1}), "requirements.cpu", "a number, a size"),
    Case("R-01", needs({"disk": {"min_gb": "x"}}), "requirements.disk", "a number, a size"),
    Case("R-01", needs({"gpu": {"vendor": 5}}), "requirements.gpu.vendor", "must be a text"),
    Case(
        "R-01",
        needs({"gpu": {"memory_operator": "<"}}),
        "requirements.gpu.memory_operator",
        "must be an operator",
    ),
    Case(
        "R-01",
        needs({"gpu": {"min_memory_mb": -1}}),
        "requirements.gpu.min_memory_mb",
        "at least 0",
    ),
    Case(
        "R-01",
        needs({"gpu": {"required_capabilities": "fp8"}}),
        "requirements.gpu.required_capabilities",
        "must be a list",
    ),
    Case("R-03", asks(cpu_cores="2"), f"{AT}.cpu_cores", "a number of at least 0"),
    Case("R-03", asks(memory_mb=-5), f"{AT}.memory_mb", "a number of at least 0"),
    Case("R-03", asks(gpu_count=1.5), f"{AT}.gpu_count", "a whole number"),
    Case("R-03", asks(runtime_driver=""), f"{AT}.runtime_driver", "must be a text"),
    Case("R-03", asks(devices={}), f"{AT}.devices", "must be a list"),
    Case("R-03", asks(devices=[{"count": 1}]), f"{AT}.devices[0].kind", "must be a text"),
    Case(
        "R-03", asks(devices=[{"kind": "gpu", "count": 0}]), f"{AT}.devices[0].count", "at least 1"
    ),
    Case(
        "R-03",
        asks(devices=[{"kind": "gpu", "min_memory_mb": "x"}]),
        f"{AT}.devices[0].min_memory_mb",
        "at least 0",
    ),
    Case(
        "R-03",
        asks(devices=[{"kind": "gpu", "memory_operator": "~"}]),
        f"{AT}.devices[0].memory_operator",
        "must be an operator",
    ),
    Case(
        "R-03",
        asks(devices=[{"kind": "gpu", "ids": "0"}]),
        f"{AT}.devices[0].ids",
        "must be a list",
    ),
    Case("R-03", asks(ports=[80]), f"{AT}.ports[0]", "must be an object"),
    Case(
        "R-03",
        asks(ports=[{"label": "api", "port": 0}]),
        f"{AT}.ports[0].port",
        "must be a port",
        "1 to 65535, or auto",
    ),
    Case("R-03", asks(ports=[{"port": 80}]), f"{AT}.ports[0].label", "must be a text"),
    Case(
        "R-03",
        asks(ports=[{"label": "a", "port": 80, "protocol": "icmp"}]),
        f"{AT}.ports[0].protocol",
        "must be a protocol",
    ),
    Case(
        "R-03",
        asks(ports=[{"label": "a", "port": 80}, {"label": "a", "port": 81}]),
        f"{AT}.ports[1].label",
        "is taken already",
    ),
    Case(
        "R-03",
        asks(volumes=[{**VOLUME, "source": "models"}]),
        f"{AT}.volumes[0].source",
        "absolute path without `..`",
    ),
    Case(
        "R-03",
        asks(volumes=[{**VOLUME, "target": "/models/../etc"}]),
        f"{AT}.volumes[0].target",
        "absolute path without `..`",
    ),
    Case(
        "R-03",
        asks(volumes=[{**VOLUME, "mode": "rx"}]),
        f"{AT}.volumes[0].mode",
        "ro or rw",
        ["ro", "rw"],
    ),
    Case(
        "R-03", asks(volumes=[{**VOLUME, "type": "nfs"}]), f"{AT}.volumes[0].type", "must be host"
    ),
    Case("R-03", asks(volumes=[{**VOLUME, "name": ""}]), f"{AT}.volumes[0].name", "must be a text"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(resources, CASES)


def test_resources_in_every_form_are_right():
    parts = Parts()
    parts.manifest["requirements"] = {
        "cpu": {"min_cores": 2},
        "gpu": {"min_count": 0, "vendor": "nvidia", "memory_operator": ">="},
        "memory": "8 GB",
        "disk": {"min_mb": 100},
    }
    parts.agent("reader")["resources"] = {
        "cpu_cores": 0.5,
        "devices": [{"kind": "gpu", "driver": "cuda", "min_memory_mb": 16000, "count": 1}],
        "ports": [{"label": "api", "port": 8088, "protocol": "http"}],
        "volumes": [{**VOLUME, "mode": "rw", "type": "host"}],
        "runtime_driver": "host_local",
    }
    assert parts.opened("strict").problems == []
