"""Unions list every member, so that `match` with `assert_never` forgets none."""

from typing import get_args

import msgspec
import pytest

from mnedge.model import facts


def leaves(base: type) -> set[type]:
    below = base.__subclasses__()
    return set().union(*(leaves(one) for one in below)) if below else {base}


def test_the_union_lists_every_fact():
    assert set(get_args(facts.AnyFact)) == leaves(facts.Fact)


def test_no_two_facts_share_a_tag():
    tags = [fact.__struct_config__.tag for fact in get_args(facts.AnyFact)]
    assert len(tags) == len(set(tags))


def test_an_unknown_fact_is_refused():
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"fact":"job_dreamt","at":1.0}', type=facts.AnyFact)


@pytest.mark.parametrize("fact", get_args(facts.AnyFact), ids=lambda fact: fact.__name__)
def test_a_fact_says_what_happened(fact):
    assert vars(fact).get("__doc__")
    assert fact.__struct_config__.frozen
