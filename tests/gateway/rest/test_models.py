import pytest

from mnedge.config.settings import Adapter
from mnedge.gateway.llm.usage import Usage
from mnedge.gateway.rest.models import day_text


@pytest.mark.drives("GET /api/v1/llm/adapters")
async def test_the_upstreams_are_listed_without_any_secret(node):
    node.backend.models.configure([Adapter(name="a", mock=True, models={"m": "real"})])
    [found] = (await node.get("/llm/adapters"))["data"]
    assert (found["name"], found["mock"], found["state"]) == ("a", True, "closed")
    assert "auth" not in found


@pytest.mark.drives("GET /api/v1/llm/usage")
async def test_what_was_used_is_told_by_day_model_and_caller(node):
    node.backend.models.accounts.add("a", "m", "uid:0", Usage(prompt=3, completion=4))
    [found] = (await node.get("/llm/usage"))["data"]
    assert found.pop("day")[4] == "-"
    assert found == {
        "adapter": "a",
        "model": "m",
        "caller": "uid:0",
        "requests": 1,
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "estimated_tokens": 0,
    }
    assert (await node.get("/llm/usage?days=0", status=422))["code"] == "request.invalid"


def test_days_are_counted_from_1970():
    assert (day_text(0), day_text(20_783)) == ("1970-01-01", "2026-11-26")
