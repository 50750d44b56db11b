"""Language models that are not configured, or cannot be replayed."""

import pytest

from mnedge.bundle.rules import config_models
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check

FILE = "config/default.json"


def llm(**settings):
    def edit(p: Parts):
        p.config["llm"] = settings
        p.manifest["metadata"]["llm_agent_role"] = "decides"

    return edit


def agent_with_model(p: Parts):
    llm(enabled=True, configs={"primary": {}})(p)
    p.settings("reader")["llm_config"] = "LLM_CONFIG.second"


CASES = [
    Case(
        "C-14",
        llm(enabled=True, configs={}),
        "llm.configs",
        "llm.configs is empty",
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-14",
        llm(configs={"a": {}}, default_config="b"),
        "llm.default_config",
        "names 'b'",
        ["a"],
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-14",
        llm(configs={"primary": {}}, agents={"x": {"llm_config": "llm.configs.two"}}),
        "llm.agents.x.llm_config",
        "'llm.configs.two' is not configured",
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-14", agent_with_model, "nodes[1].config.llm_config", "'LLM_CONFIG.second'", weight="E/s"
    ),
    Case(
        "C-14",
        llm(configs={"a": {}}, default_config=["a"]),
        "llm.default_config",
        "names \"['a']\"",
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-33",
        llm(agents={"x": {"model": "gpt", "api_key": "", "api_key_env": "K"}}),
        "llm.agents.x",
        "model settings api_key, model",
        file=FILE,
        weight="W",
    ),
    Case(
        "C-44",
        lambda p: p.config["determinism"].pop("seed_field"),
        "determinism.seed_field",
        "must name its seed",
        file=FILE,
        weight="W",
    ),
    Case(
        "C-44",
        lambda p: p.config["determinism"].update(replay={"llm_mode": "live"}),
        "determinism.replay.llm_mode",
        "unknown replay.llm_mode",
        file=FILE,
        weight="W",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(config_models, CASES)


def test_a_model_without_configs_is_the_primary_one():
    parts = Parts()
    llm(enabled=True, model="m", agents={"x": {"llm_config": "primary", "model": "m"}})(parts)
    assert parts.opened("strict").problems == []
