"""Settings in Nix: refused where the program refuses them, written so that it reads the same."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from mnedge.config.file import read_text
from mnedge.config.schema import schema
from mnedge.config.settings import FileSettings
from mnedge.config.written import DURATION_FORMS, SIZE_FORMS
from tests.house.tree import ROOT
from tests.nix.workbench import NIX

pytestmark = pytest.mark.live

AT = "services.mnedge.settings"
SCHEMA = ROOT / NIX / "config-schema.json"
CHECK = """
((import (nix + "/check.nix") {
  schema = builtins.fromJSON (builtins.readFile (nix + "/config-schema.json"));
}).check)
"""


def test_the_schema_beside_the_module_is_that_of_the_program():
    told = "make it anew: mnedge config schema > packaging/nix/config-schema.json"
    assert json.loads(SCHEMA.read_text()) == json.loads(json.dumps(schema())), told


REFUSED: list[tuple[str, Any, str]] = [
    # A wrong kind.
    ("inherit_environment", "true", 'is "true"; expected true or false; take the quotes away'),
    ("plugins", "mine", 'is "mine"; expected a list; write [ "mine" ]'),
    ("relay", [], "is a list; expected a set"),
    ("node", True, "is true; expected a text; put it in quotes"),
    ("relay.rateLimit.burst", 1.5, "is 1.5; expected a whole number; left out it is 100"),
    ("relay.rateLimit.burst", "12", 'is "12"; expected a whole number; take the quotes away'),
    ("relay.rateLimit.burst", None, "is null; expected a whole number"),
    ("trace.otel.headers", {"A": 3}, ".A: is 3; expected a text or a set; put it in quotes"),
    ("trace.slos", [{"name": "a", "target": 9}], "[0].target: is 9; expected a text; put it"),
    ("trace.alerts", [{"name": "a", "expr": "b", "labels": {"x y": 1}}], '.labels."x y": is 1'),
    # One of a few.
    ("durability", "full", 'is "full"; expected one of "FULL", "NORMAL"; did you mean "FULL"?'),
    ("trace.logs.level", "verbose", 'expected one of "debug", "error", "info", "warning"; write'),
    # Durations and sizes.
    ("daemon.grace", "ten seconds", f'"ten seconds"; expected a duration: {DURATION_FORMS}; write'),
    ("daemon.grace", -1, "is -1; expected 0 or more"),
    ("daemon.grace", "-1s", 'is "-1s"; expected a duration'),
    ("relay.limits.maxBody", "10MB?", f'is "10MB?"; expected a size: {SIZE_FORMS}; write'),
    # Keys.
    ("relay.limits.maxBodi", 1, "nobody knows this option; did you mean maxBody?"),
    ("relay.rate_limit", {}, "nobody knows this option; did you mean rateLimit?"),
    ("dataDir", "/x", "nobody knows this option; did you mean data_dir?"),
    ("cortex", {}, "nobody knows this option; there are connectors, daemon, data_dir"),
    ("relay.adapters", [{"mock": True}], "[0]: lacks name; add name = …;"),
    ("relay.replicas", "two", 'is "two"; expected a whole number'),
    # What fits and makes no sense.
    ("relay.listen.http", "8080", "expected HOST:PORT with a port from 0 to 65535; for example"),
    ("relay.listen.grpc", "[::1]:70000", 'is "[::1]:70000"; expected HOST:PORT'),
    ("relay.listen.http", "0.0.0.0:80", "others can reach 0.0.0.0:80, and what goes there would"),
    ("relay.listen.socket", "x.sock", 'is "x.sock"; expected a full path; begin it with /'),
    ("relay.listen.tls", {"certFile": "/c"}, "has only one of its two files; expected certFile"),
    ("data_dir", "jobs", 'is "jobs"; expected a full path'),
]


@pytest.fixture(scope="module")
def told(nix):
    """What is said of each bad value, by place in the table."""
    settings = [at(path.split("."), value) for path, value, _ in REFUSED]
    return nix.value(f"map {CHECK} settings", settings=settings)


@pytest.mark.parametrize("number", range(len(REFUSED)), ids=[path for path, *_ in REFUSED])
def test_a_bad_value_is_refused_with_its_place_and_how_to_mend_it(told, number):
    path, _, said = REFUSED[number]
    assert len(told[number]) == 1, told[number]
    assert told[number][0].startswith(f"{AT}.{path}")
    assert said in told[number][0]


def test_everything_wrong_is_told_at_once(nix):
    settings = {
        "durability": "SOMETIMES",
        "snapshot_bytes": "lots",
        "relay": {"limits": {"maxBodi": 1, "maxStreams": "x"}},
        "trace": {"slos": [{"name": "a", "target": "9%"}, {"target": 9}]},
    }
    messages = nix.value(f"{CHECK} settings", settings=settings)
    assert [message.partition(": ")[0].removeprefix(f"{AT}.") for message in messages] == [
        "durability",
        "relay.limits.maxBodi",
        "relay.limits.maxStreams",
        "snapshot_bytes",
        "trace.slos[1].target",
        "trace.slos[1]",
    ]


def test_what_no_file_can_hold_is_refused(nix):
    path = nix.value(f"{CHECK} {{ relay.listen.tls.certFile = /etc/key; }}")
    assert "is a path; expected a text; put it in quotes: a bare path is copied to where" in path[0]
    place = nix.value(
        f'{CHECK} {{ trace.notify = [ {{ name = "a"; skill = "b"; settings.x = one: one; }} ]; }}'
    )
    assert "trace.notify[0].settings.x: is a lambda" in place[0]


def test_a_keyword_that_nix_cannot_read_is_no_way_around_it(nix):
    kind = {"type": "object", "properties": {"node": {"type": "string", "format": "hostname"}}}
    said = nix.refusal(
        '(import (nix + "/check.nix") { schema = kind; }).check { node = "x"; }', kind=kind
    )
    assert "check.nix cannot read format in the schema" in said


# One value of every shape that a setting may have or not have.
VALUES: tuple[Any, ...] = (
    None, True, 0, 7, -1, 1.5, "", "word", "30s", "1.5h", " 10 Mi ", "10KB", "1 d", "s", "5x",
    "-3s", "FULL", "http", "enabled", "read", "info", "json", [], ["x"], [{}], {}, {"name": "x"},
    {"name": "x", "key": "y"}, {"nobody": 1},
)  # fmt: skip


def leaves(kind: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the path of every setting outside of lists."""
    found = []
    for name, one in kind["properties"].items():
        if one.get("description") == "Read by the Helm chart only.":
            continue
        inner = schema()["$defs"].get(one.get("$ref", "").removeprefix("#/$defs/"))
        found += leaves(inner, (*path, name)) if inner else [(*path, name)]
    return found


def at(path: Sequence[str], value: Any) -> dict[str, Any]:
    """Return the settings that set this one."""
    return {path[0]: at(path[1:], value) if path[1:] else value}


def test_nix_and_the_program_judge_every_setting_alike(nix):
    paths = leaves(schema()["$defs"]["FileSettings"])
    cases = [at(path, value) for path in paths for value in VALUES]
    found = nix.value(
        f"let check = {CHECK}; in map (one: builtins.length (check one)) cases", cases=cases
    )
    differing = []
    for case, messages in zip(cases, found, strict=True):
        misfits = [p for p in read_text(json.dumps(case), "x").problems if p.severity == "error"]
        if bool(misfits) != bool(messages):
            differing.append((case, messages, [(p.path, p.message) for p in misfits]))
    assert len(cases) > 1500
    assert [one for one in differing if not is_stricter_on_purpose(*one[:2])] == []


def is_stricter_on_purpose(case: dict[str, Any], messages: int) -> bool:
    """Nix takes no number for a text, and looks at addresses at once."""
    value: Any = case
    path = []
    while isinstance(value, dict) and len(value) == 1:
        path.append(next(iter(value)))
        value = value[path[-1]]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return messages > 0 and (number or "listen" in path)


BIG = {"name": "b", "target": "0.9", "window": 1234567.25, "percentile": 99.95}
WRITTEN: dict[str, Any] = {
    "data_dir": "/var/lib/mnedge",
    "node": "Werk 7: \"Süd\"\n\t#1 \\ ☃ 🚜",
    "snapshot_bytes": "8Mi",
    "plugins": [],
    "relay": {
        "listen": {"http": "127.0.0.1:8080", "tls": {}},
        "rateLimit": {"requestsPerSecond": 0.00001, "burst": 7, "exempt": ["unix", "on", "1e3"]},
        "limits": {"maxBody": 1048576, "requestTimeout": "1.5m"},
        "adapters": [
            {
                "name": "no",
                "baseUrl": "https://models.example/v1",
                "auth": {"secretRef": {"name": "env", "key": "KEY"}},
                "models": {"yes": "a: b", "1.5": "- c", "": "~", "#": "%x"},
                "routes": [{"match": "/v1/a", "methods": ["GET", "POST"]}, {"match": "/"}],
            },
            {"name": "null", "mock": True},
        ],
    },
    "trace": {
        "otel": {"headers": {"on": {"name": "file", "key": "/run/x"}}, "ratio": 1.0},
        "slos": [{"name": "a", "target": "99.5%", "window": 1e6}, BIG],
        "notify": [{"name": "n", "skill": "s", "settings": {"deep": [[1, [2.5]], {"x": None}]}}],
    },
}  # fmt: skip


def test_a_file_that_nix_writes_says_what_was_meant(nix):
    text = nix.value('import (nix + "/yaml.nix") settings', settings=WRITTEN)
    held = read_text(text, "nix")
    assert [one for one in held.problems if one.severity == "error"] == []
    meant = read_text(json.dumps(WRITTEN, ensure_ascii=False).replace("1e-05", "0.00001"), "json")
    assert msgspec.to_builtins(held.settings) == msgspec.to_builtins(meant.settings)
    assert held.settings.relay.rate_limit.requests_per_second == 0.00001
    assert nix.value(f"{CHECK} settings", settings=WRITTEN) == []


def test_nothing_said_is_a_file_too(nix):
    text = nix.value('import (nix + "/yaml.nix") { }')
    assert read_text(text, "nix").settings == FileSettings()
