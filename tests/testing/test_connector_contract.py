"""The suite finds what is wrong with a connector."""

import pytest

from mnedge.errors import UnavailableError
from mnedge.ports import Batch, Item
from mnedge.testing.connector_contract import SECRET, ConnectorContract


class Careless:
    """Takes any settings, forgets its cursor, and tells everybody."""

    name = "careless"

    def __init__(self):
        self.count = 0

    def check(self, settings):
        named = "no_such_setting" in settings
        return [f"no such setting: {settings['no_such_setting']}"] if named else []

    async def read(self, settings, cursor=None, *, folder):
        if settings.get("away"):
            raise UnavailableError(f"{SECRET} was not there")
        self.count += 1
        name = "same" if settings.get("same") else str(self.count)
        event = "Not Snake" if settings.get("loud") else "thing_came"
        return Batch([Item(item_id=name, event=event, source_ref={"at": 1})], "x")


@pytest.fixture
def connector():
    return Careless()


SUITE = ConnectorContract()


def test_a_connector_that_takes_any_settings_is_found_out(connector):
    with pytest.raises(AssertionError):
        SUITE.test_senseless_settings_are_a_problem_not_an_exception(connector)


def test_a_secret_in_a_problem_is_found_out(connector):
    with pytest.raises(AssertionError):
        SUITE.test_problems_show_no_secret(connector, {"a": 1})


async def test_a_secret_in_an_error_is_found_out(connector):
    with pytest.raises(AssertionError):
        await SUITE.test_a_source_that_is_away_is_worth_another_try_and_no_secret_is_told(
            connector, {"away": True}
        )


async def test_an_event_that_is_no_word_is_found_out(connector):
    with pytest.raises(AssertionError):
        await SUITE.test_what_is_there_is_read_and_can_be_kept(connector, {"loud": True})


async def test_names_that_change_are_found_out(connector):
    with pytest.raises(AssertionError):
        await SUITE.test_the_same_thing_has_the_same_name_whenever_it_is_read(connector, {})


async def test_what_comes_again_after_the_cursor_is_found_out(connector):
    with pytest.raises(AssertionError):
        await SUITE.test_a_cursor_brings_what_is_new_and_nothing_else(
            connector, {"same": True}, lambda: None
        )


async def test_settings_that_are_not_refused_are_found_out(connector):
    with pytest.raises(pytest.fail.Exception):
        await SUITE.test_settings_with_problems_are_refused_for_good(connector, {"a": 1})


async def test_what_is_fine_passes(connector):
    await SUITE.test_what_is_there_is_read_and_can_be_kept(connector, {})
