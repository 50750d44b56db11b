"""Models that no runtime could find."""

import pytest

from mnedge.bundle.rules import models
from tests.bundle.making import Case, assert_every_rule_has_a_case, check, good

C = "as_workflow"
AT = "runtime.models.m"


def model(**members):
    return lambda p: p.manifest["runtime"].update(models={"m": members})


def source(**members):
    whole = {"type": "payload", "path": "models/m.gguf", "format": "gguf", **members}

    def edit(p):
        p.files["payloads/models/m.gguf"] = b"."
        model(source=whole)(p)

    return edit


CASES = [
    Case(
        "R-12",
        lambda p: p.manifest["runtime"].update(models=[]),
        "runtime.models",
        "must be an object",
        form=C,
    ),
    Case(
        "R-12",
        lambda p: p.manifest["runtime"].update(models={"m": "x"}),
        AT,
        "must be an object",
        form=C,
    ),
    Case("R-12", model(backend="x"), f"{AT}.backend", "is unknown", form=C),
    Case("R-12", model(context_size=0), f"{AT}.context_size", "at least 1", form=C),
    Case("R-12", model(customize_mode="x"), f"{AT}.customize_mode", "a boolean", form=C),
    Case("R-12", model(source=3), f"{AT}.source", "must be an object", form=C),
    Case("R-12", source(format="x"), f"{AT}.source.format", "is unknown", form=C),
    Case("R-12", source(digest="x"), f"{AT}.source.digest", "sha256:", form=C),
    Case("R-12", source(path=None), f"{AT}.source.path", "is required", form="as_steps"),
    Case("R-12", source(path="../m"), f"{AT}.source.path", "below payloads/models", form=C),
    Case("R-12", source(config_path="/m"), f"{AT}.source.config_path", "below payloads/", form=C),
    Case(
        "R-12",
        source(path="models/gone"),
        f"{AT}.source.path",
        "not in payloads/",
        weight="W",
        form=C,
    ),
    Case(
        "R-12",
        source(mmproj_path="models/gone"),
        f"{AT}.source.mmproj_path",
        "not in payloads/",
        weight="W",
        form=C,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(models, CASES)


def test_a_model_that_is_there_is_right():
    parts = good(C)
    source(digest="sha256:00")(parts)
    parts.manifest["runtime"]["models"]["far"] = {"provider": "x", "backend": "vllm", "source": "y"}
    assert parts.opened("strict").problems == []
