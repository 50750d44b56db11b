"""What all output skills keep to. Subclass it in a test module with these fixtures.

`skill`: the skill under test. `settings`: good settings for it, with every secret being `SECRET`.
`away`: settings of a place that cannot be reached now. `arrived()`: the deliveries that came, in
order, each as `{"delivery_id", "kind", "title", "body"}`. The tests need real time.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import trio

from mnedge.errors import MnedgeError, UnavailableError, UsageError
from mnedge.ports import Delivery, Skill

Arrived = Callable[[], list[dict[str, Any]]]
Settings = Mapping[str, Any]
SECRET = "never to be shown anywhere"  # noqa: S105
PATIENCE_S = 20.0


def a_delivery(number: int = 1, **more: Any) -> Delivery:
    """Return something to hand over."""
    fields: dict[str, Any] = {
        "delivery_id": f"delivery-{number}",
        "kind": "test",
        "title": f"Number {number}\nwith a second line, “quotes” and \\",
        "at": 1_700_000_000.5,
        "body": {"number": number, "nested": {"list": [1, None, "ü"]}},
    }
    return Delivery(**(fields | more))


class SkillContract:
    """Tests of the Skill port."""

    async def sent(self, skill: Skill, delivery: Delivery, settings: Settings) -> None:
        """Deliver, and fail rather than wait for ever."""
        with trio.fail_after(PATIENCE_S):
            await skill.deliver(delivery, settings)

    def test_it_says_what_it_is(self, skill: Skill) -> None:
        assert len(skill.name) > 0
        assert skill.name == skill.name.lower()
        assert skill.name.isascii()

    def test_good_settings_have_no_problems_and_looking_sends_nothing(
        self, skill: Skill, settings: Settings, arrived: Arrived
    ) -> None:
        assert skill.check(settings) == []
        assert arrived() == []

    @pytest.mark.parametrize("extra", [{"no_such_setting": 1}, {"": ""}])
    def test_a_setting_that_it_does_not_know_is_a_problem(
        self, skill: Skill, settings: Settings, extra: Settings
    ) -> None:
        problems = skill.check({**settings, **extra})
        assert problems
        assert all(problems)

    def test_no_settings_at_all_are_a_problem_not_an_exception(self, skill: Skill) -> None:
        assert skill.check({})
        assert skill.check({key: [None] for key in ("path", "url", "secret", "headers")})

    def test_problems_show_no_secret(self, skill: Skill, settings: Settings) -> None:
        assert SECRET not in " ".join(skill.check({**settings, "no_such_setting": SECRET}))

    async def test_what_is_delivered_arrives_as_it_is(
        self, skill: Skill, settings: Settings, arrived: Arrived
    ) -> None:
        delivery = a_delivery()
        await self.sent(skill, delivery, settings)
        (came,) = arrived()
        assert came["delivery_id"] == delivery.delivery_id
        assert (came["kind"], came["title"]) == (delivery.kind, delivery.title)
        assert came["body"] == delivery.body

    async def test_a_second_try_can_be_told_from_another_delivery(
        self, skill: Skill, settings: Settings, arrived: Arrived
    ) -> None:
        await self.sent(skill, a_delivery(1), settings)
        await self.sent(skill, a_delivery(1, attempt=2), settings)
        await self.sent(skill, a_delivery(2), settings)
        assert list(dict.fromkeys(came["delivery_id"] for came in arrived())) == [
            "delivery-1",
            "delivery-2",
        ]

    async def test_many_at_once_all_arrive_whole(
        self, skill: Skill, settings: Settings, arrived: Arrived
    ) -> None:
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(self.sent, skill, a_delivery(number), settings)
        assert sorted(came["body"]["number"] for came in arrived()) == list(range(20))

    async def test_settings_with_problems_are_refused_for_good(
        self, skill: Skill, settings: Settings, arrived: Arrived
    ) -> None:
        with pytest.raises(UsageError):
            await self.sent(skill, a_delivery(), {**settings, "no_such_setting": 1})
        with pytest.raises(UsageError):
            await self.sent(skill, a_delivery(), {})
        assert arrived() == []

    async def test_a_place_that_is_away_is_worth_another_try_and_no_secret_is_told(
        self, skill: Skill, away: Settings
    ) -> None:
        assert skill.check(away) == []
        with pytest.raises(UnavailableError) as raised:
            await self.sent(skill, a_delivery(), away)
        error: MnedgeError = raised.value
        assert error.message
        assert SECRET not in f"{error.message} {error.hint} {error.details}"

    async def test_cancelled_it_ends_and_can_be_tried_again(
        self, skill: Skill, settings: Settings, arrived: Arrived
    ) -> None:
        with trio.move_on_after(0):
            await skill.deliver(a_delivery(), settings)
        await self.sent(skill, a_delivery(), settings)
        assert {came["delivery_id"] for came in arrived()} == {"delivery-1"}
