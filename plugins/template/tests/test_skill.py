"""The skill against the contract of all output skills."""

import email
import email.policy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mnedge.ports import Skill
from mnedge.testing.skill_contract import SkillContract
from mnedge_template.skill import Maildir


class TestMaildir(SkillContract):
    @pytest.fixture
    def skill(self, tmp_path: Path) -> Skill:
        return Maildir(str(tmp_path / "skills"))

    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"path": "alerts"}

    @pytest.fixture
    def away(self, tmp_path: Path) -> dict[str, Any]:
        (tmp_path / "skills").mkdir()
        (tmp_path / "skills" / "plain").write_text("no folder")
        return {"path": "plain/alerts"}

    @pytest.fixture
    def arrived(self, tmp_path: Path) -> Callable[[], list[dict[str, Any]]]:
        def read() -> list[dict[str, Any]]:
            files = (tmp_path / "skills" / "alerts" / "new").glob("*")
            return [_told(file) for file in sorted(files, key=lambda file: file.stat().st_mtime_ns)]

        return read

    def test_nothing_outside_is_written(self, skill: Skill) -> None:
        assert skill.check({"path": "../elsewhere"})


def _told(file: Path) -> dict[str, Any]:
    mail = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    about = json.loads(mail.get_content())
    return {
        "delivery_id": mail["X-Mnedge-Delivery"],
        "kind": mail["X-Mnedge-Kind"],
        "title": about["title"],
        "body": about["body"],
    }
