"""Every output skill against the contract of its port."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import trio

from mnedge.errors import UnavailableError, UsageError
from mnedge.ports import Delivery
from mnedge.testing.skill_contract import SECRET, SkillContract
from mnedge_skills.file import File
from mnedge_skills.webhook import Webhook
from tests.live.receiver import Receiver

pytestmark = pytest.mark.live


class TestFile(SkillContract):
    @pytest.fixture
    def skill(self, tmp_path):
        return File(str(tmp_path / "skills"))

    @pytest.fixture
    def settings(self):
        return {"path": "below/alerts.jsonl"}

    @pytest.fixture
    def away(self, tmp_path):
        (tmp_path / "skills").mkdir()
        (tmp_path / "skills" / "plain").write_text("no folder")
        return {"path": "plain/alerts.jsonl"}

    @pytest.fixture
    def arrived(self, tmp_path):
        place = tmp_path / "skills" / "below" / "alerts.jsonl"

        def read():
            return (
                [json.loads(line) for line in place.read_text().splitlines()]
                if (place.exists())
                else []
            )

        return read


class TestWebhook(SkillContract):
    @pytest.fixture
    def receiver(self):
        with Receiver() as receiver:
            yield receiver

    @pytest.fixture
    def skill(self):
        return Webhook()

    @pytest.fixture
    def settings(self, receiver):
        return {"url": f"{receiver.url}/hook", "secret": SECRET, "headers": {"X-Key": SECRET}}

    @pytest.fixture
    def away(self):
        url = f"http://127.0.0.1:1/{SECRET.replace(' ', '-')}"
        return {"url": url, "secret": SECRET}

    @pytest.fixture
    def arrived(self, receiver):
        return lambda: [json.loads(posted.body) for posted in receiver.posted]


class Kept:
    """A skill that keeps what it gets in memory."""

    name = "kept"

    def __init__(self) -> None:
        self.came: list[Delivery] = []

    def check(self, settings: Mapping[str, Any]) -> list[str]:
        return [] if settings.keys() == {"away"} else ["it has one setting, away"]

    async def deliver(self, delivery: Delivery, settings: Mapping[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        if self.check(settings):
            raise UsageError("mend the settings")
        if settings["away"]:
            raise UnavailableError("it is away")
        self.came.append(delivery)


class TestKept(SkillContract):
    @pytest.fixture
    def skill(self):
        return Kept()

    @pytest.fixture
    def settings(self):
        return {"away": False}

    @pytest.fixture
    def away(self):
        return {"away": True}

    @pytest.fixture
    def arrived(self, skill):
        return lambda: [
            {"delivery_id": d.delivery_id, "kind": d.kind, "title": d.title, "body": d.body}
            for d in skill.came
        ]
