import pytest

from mnedge.config.document import parsed
from mnedge.config.fitting import CHART_KEYS, fitted


def fit(text):
    document, _ = parsed(text, "f")
    values, _, problems = fitted(document, "f")
    return values, problems


def test_durations_and_sizes_become_numbers():
    values, problems = fit(
        "snapshot_bytes: 64Ki\nrelay: {limits: {maxBody: 10Mi, requestTimeout: 1m}}\n"
        "daemon: {grace: 2.5}\n"
    )
    assert problems == []
    assert values["snapshot_bytes"] == 65536
    assert values["relay"]["limits"] == {"maxBody": 10 << 20, "requestTimeout": 60.0}
    assert values["daemon"]["grace"] == 2.5


def test_numbers_where_a_text_is_wanted_are_taken_as_written():
    values, problems = fit("trace: {slos: [{name: 7, target: 0.990}]}\n")
    assert problems == []
    assert values["trace"]["slos"] == [{"name": "7", "target": "0.990"}]


@pytest.mark.parametrize(
    "text, path, expected",
    [
        ("durability: SOME\n", "durability", "one of FULL, NORMAL"),
        ("node: yes\n", "node", "a text"),
        ("plugins: a\n", "plugins", "a list"),
        ("relay: 3\n", "relay", "a mapping"),
        ("keep_workspaces: maybe\n", "keep_workspaces", "true or false"),
        ("relay: {rateLimit: {burst: 1.5}}\n", "relay.rateLimit.burst", "a whole number"),
        (
            "relay: {rateLimit: {requestsPerSecond: x}}\n",
            "relay.rateLimit.requestsPerSecond",
            "a number",
        ),
        ("relay: {rateLimit: {burst: true}}\n", "relay.rateLimit.burst", "a whole number"),
        ("daemon: {grace: soon}\n", "daemon.grace", "500ms"),
        ("daemon: {grace: -1}\n", "daemon.grace", "zero or more"),
        ("relay: {limits: {maxBody: 1x}}\n", "relay.limits.maxBody", "16Ki"),
        ("relay: {limits: {maxBody: }}\n", "relay.limits.maxBody", "16Ki"),
        ("relay: {cors: [[a]]}\n", "relay.cors[0]", "a text"),
        (
            "trace: {notify: [{name: a, skill: b, settings: 3}]}\n",
            "trace.notify[0].settings",
            "a map",
        ),
    ],
)
def test_a_value_of_the_wrong_kind_says_what_was_expected(text, path, expected):
    _, [problem] = fit(text)
    assert (problem.rule, problem.path) == ("CFG-E04", path)
    assert expected in problem.expected
    assert problem.line == 1


def test_all_that_does_not_fit_is_told_at_once_and_the_rest_is_kept():
    values, problems = fit("node: edge\ndurability: x\nnodes: 3\nrelay: {listen: {htp: a}}\n")
    assert [problem.path for problem in problems] == ["durability", "nodes", "relay.listen.htp"]
    assert values == {"node": "edge", "relay": {"listen": {}}}


@pytest.mark.parametrize(
    "text, near",
    [
        ("relay: {listen: {htp: a}}\n", "http"),
        ("keepWorkspaces: true\n", "keep_workspaces"),
        ("relay: {rate_limit: {}}\n", "rateLimit"),
    ],
)
def test_an_unknown_key_names_the_nearest_one(text, near):
    _, [problem] = fit(text)
    assert problem.rule == "CFG-E03"
    assert f"did you mean {near}?" in problem.message


def test_a_key_like_no_other_lists_those_that_are_known():
    _, [problem] = fit("daemon: {zzz: 1}\n")
    assert problem.expected == "one of endpointFiles, grace, skillFolders"


def test_what_only_the_chart_reads_is_noted():
    values, problems = fit("relay: {replicas: 2, service: {port: 8080}}\nsoul: {image: x}\n")
    assert [problem.rule for problem in problems] == ["CFG-I01"] * 3
    assert values == {"relay": {}, "soul": {}}
    _, [problem] = fit("relay: {replicas: many}\n")
    assert problem.rule == "CFG-E04"
    _, [problem] = fit("daemon: {replicas: 2}\n")
    assert problem.rule == "CFG-E03"


@pytest.mark.parametrize("key", CHART_KEYS)
def test_every_key_of_the_chart_is_checked_for_its_shape(key):
    _, [problem] = fit(f"trace: {{{key}: 1.5}}\n")
    assert problem.rule == "CFG-E04"


def test_sections_of_later_versions_are_refused_by_name():
    _, [problem] = fit("genome: {registry: x}\n")
    assert "no such section" in problem.message


def test_a_list_item_without_its_name_is_left_out():
    values, [problem] = fit("relay: {adapters: [{mock: true}, {name: a, mock: true}]}\n")
    assert problem.path == "relay.adapters[0]"
    assert [adapter["name"] for adapter in values["relay"]["adapters"]] == ["a"]


def test_a_header_is_a_text_or_names_its_secret():
    values, problems = fit("trace: {otel: {headers: {a: b, c: {name: env, key: K}}}}\n")
    assert problems == []
    assert values["trace"]["otel"]["headers"]["c"] == {"name": "env", "key": "K"}


def test_an_empty_section_is_no_mistake():
    assert fit("relay:\ntrace:\n") == ({"relay": {}, "trace": {}}, [])
