import re

import pytest

from mnedge.gateway.console.rendering import build
from mnedge.gateway.console.statics import files
from tests.gateway.console.consoles import a_browser


@pytest.mark.drives("GET /static/{name}")
async def test_files_are_kept_by_browsers_until_they_change(tmp_path, autojump_clock):
    async with a_browser(tmp_path, listener="http") as browser:
        answer = await browser.http.get(f"/static/console.css?v={build()}")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/css; charset=utf-8"
        assert "immutable" in answer.headers["cache-control"]
        answer = await browser.http.get("/static/console.js")
        assert answer.headers["cache-control"] == "no-cache"
        seen = {"if-none-match": answer.headers["etag"]}
        assert (await browser.http.get("/static/console.js", headers=seen)).status_code == 304


@pytest.mark.drives("GET /health")
async def test_programs_that_look_for_a_web_ui_find_one_without_a_token(tmp_path, autojump_clock):
    async with a_browser(tmp_path, listener="http") as browser:
        answer = await browser.http.get("/health")
        assert answer.status_code == 200
        assert answer.json() == {"status": "ok", "component": "web-ui"}


@pytest.mark.parametrize("name", ["..%2fapi.py", "%2e%2e/api.py", "nothing.js", "console.css%00"])
async def test_nothing_else_is_served(tmp_path, autojump_clock, name):
    async with a_browser(tmp_path) as browser:
        answer = await browser.http.get(f"/static/{name}")
        assert answer.status_code in (400, 403, 404)
        assert "Refused" not in answer.text


def test_scripts_and_sheets_load_nothing_from_elsewhere():
    for name, content in files().items():
        text = content.decode()
        links = set(re.findall(r"https?://[^\s\"')]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not links, (name, links)
        assert "eval(" not in text
        assert "innerHTML" not in text


def test_every_script_is_reached_from_the_first():
    texts = {name: content.decode() for name, content in files().items() if name.endswith(".js")}
    reached = set()
    waiting = ["console.js"]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        found = re.findall(r'(?:from|import) "\./([\w.]+)"', texts[name])
        waiting += [one for one in found if one not in reached]
    assert reached == set(texts)
