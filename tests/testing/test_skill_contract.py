"""The suite finds what is wrong with a skill."""

import pytest

from mnedge.errors import UnavailableError
from mnedge.testing.skill_contract import SECRET, SkillContract


class Careless:
    """Takes anything, loses half of it, and tells everybody."""

    name = "careless"

    def __init__(self):
        self.came = []

    def check(self, settings):
        return [f"no such setting: {settings['no_such_setting']}"] if len(settings) > 1 else []

    async def deliver(self, delivery, settings):
        if settings.get("away"):
            raise UnavailableError(f"{SECRET} was not taken")
        self.came.append(
            {
                "delivery_id": delivery.delivery_id,
                "kind": delivery.kind,
                "title": delivery.title.splitlines()[0],
                "body": delivery.body,
            }
        )


@pytest.fixture
def skill():
    return Careless()


SUITE = SkillContract()


def test_a_skill_that_takes_any_settings_is_found_out(skill):
    with pytest.raises(AssertionError):
        SUITE.test_no_settings_at_all_are_a_problem_not_an_exception(skill)


def test_a_secret_in_a_problem_is_found_out(skill):
    with pytest.raises(AssertionError):
        SUITE.test_problems_show_no_secret(skill, {"a": 1})


async def test_a_secret_in_an_error_is_found_out(skill):
    with pytest.raises(AssertionError):
        await SUITE.test_a_place_that_is_away_is_worth_another_try_and_no_secret_is_told(
            skill, {"away": True}
        )


async def test_a_title_that_is_cut_is_found_out(skill):
    with pytest.raises(AssertionError):
        await SUITE.test_what_is_delivered_arrives_as_it_is(skill, {}, lambda: skill.came)


async def test_settings_that_are_not_refused_are_found_out(skill):
    with pytest.raises(pytest.fail.Exception):
        await SUITE.test_settings_with_problems_are_refused_for_good(
            skill, {"a": 1}, lambda: skill.came
        )


async def test_what_is_fine_passes(skill):
    await SUITE.test_many_at_once_all_arrive_whole(skill, {}, lambda: skill.came)
