import pytest

from mnedge.config.settings import Notify
from mnedge.errors import UnavailableError, UsageError
from mnedge.observe.channels import ChannelUnknownError, SkillChannels, filled
from mnedge.testing.skill_contract import a_delivery


class Kept:
    name = "kept"

    def __init__(self):
        self.came = []

    def check(self, settings):
        return [] if "key" in settings else ["key is missing"]

    async def deliver(self, delivery, settings):
        self.came.append((delivery.delivery_id, settings))


SECRETS = {"HOOK": "s3cret"}


def secret(reference):
    if reference.key not in SECRETS:
        raise UsageError(f"{reference.key} is not set")
    return SECRETS[reference.key]


def channels(*notify):
    skill = Kept()
    return skill, SkillChannels({"kept": skill}, lambda: notify, secret)


async def test_secrets_are_put_in_before_a_skill_sees_them():
    reference = {"secretRef": {"name": "env", "key": "HOOK"}}
    skill, made = channels(Notify(name="a", skill="kept", settings={"key": [reference]}))
    await made.send("a", a_delivery())
    assert skill.came == [("delivery-1", {"key": ["s3cret"]})]
    assert made.problems() == []


async def test_a_secret_that_is_not_there_now_may_be_later():
    reference = {"secretRef": {"name": "env", "key": "GONE"}}
    _, made = channels(Notify(name="a", skill="kept", settings={"key": reference}))
    with pytest.raises(UnavailableError, match="GONE"):
        await made.send("a", a_delivery())
    assert made.problems() == ["trace.notify: a: GONE is not set"]


async def test_what_is_not_configured_is_told():
    _, made = channels(Notify(name="a", skill="pigeon"), Notify(name="b", skill="kept"))
    with pytest.raises(UsageError, match="pigeon"):
        await made.send("a", a_delivery())
    with pytest.raises(ChannelUnknownError):
        await made.send("c", a_delivery())
    assert [problem.split(": ")[1] for problem in made.problems()] == ["a", "b"]
    assert made.names([]) == ["a", "b"]
    assert made.names(["b", "zzz"]) == ["b"]


def test_only_a_whole_reference_is_replaced():
    tree = {"secretRef": {"name": "env", "key": "HOOK"}, "other": 1}
    assert filled(tree, secret) == tree
    with pytest.raises(UsageError):
        filled({"secretRef": "HOOK"}, secret)
