"""A node without sockets, and a browser without scripts before its console."""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx

from mnedge.gateway.app import application
from mnedge.gateway.backend import Backend
from mnedge.gateway.connection import Connection, connected
from mnedge.gateway.guard import Guarding, guarded
from tests.gateway.backends import DATE, a_backend
from tests.runtime.rig import Rig

ORIGIN = "http://node"
_VOID = frozenset(
    ["meta", "link", "input", "img", "br", "hr", "option", "wbr", "col", "path", "rect", "circle"]
)


class Browser:
    """Follows links and sends forms; what it gets must be a sound page."""

    def __init__(self, backend: Backend, rig: Rig, *, listener: str = "unix") -> None:
        self.backend = backend
        self.rig = rig
        guarding = Guarding(
            settings=backend.settings, tokens=backend.tokens, audit=backend.audit, now=lambda: DATE
        )
        uid = os.geteuid() if listener == "unix" else None
        connection = Connection(listener=listener, uid=uid, address="127.0.0.1")
        app: Any = connected(guarded(application(backend), guarding), connection)
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(
            transport=transport, base_url=ORIGIN, headers={"accept": "text/html"}
        )

    async def get(self, path: str, status: int = 200) -> str:
        """Return a page."""
        answer = await self.http.get(path)
        assert answer.status_code == status, _said(path, answer)
        return sound(answer)

    async def post(self, path: str, status: int = 303, **fields: str) -> httpx.Response:
        """Send a form, as a page of this console would."""
        answer = await self.http.post(path, data=fields, headers={"origin": ORIGIN})
        assert answer.status_code == status, _said(path, answer)
        return answer


@asynccontextmanager
async def a_browser(
    tmp_path: Path, *, listener: str = "unix", **more: Any
) -> AsyncIterator[Browser]:
    """Have a node and a browser before it; over `unix` the browser is the node's own user."""
    async with a_backend(tmp_path, **more) as (backend, rig):
        yield Browser(backend, rig, listener=listener)


def sound(answer: httpx.Response) -> str:
    """Return the page; it must be whole, and hold nothing that the policy forbids."""
    text = answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=\"|javascript:", text), "inline"
    for script in re.findall(r"<script[^>]*>", text):
        assert re.fullmatch(r'<script type="module" src="/static/console.js\?v=\w+">', script)
    assert text.count("<h1") == 1
    assert '<main id="main"' in text or 'id="main"' in text
    _Whole(text)
    return text


class _Whole(HTMLParser):
    """Every element is closed, in its order; no id stands twice."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._open: list[str] = []
        self._ids: set[str] = set()
        self.feed(text)
        self.close()
        assert self._open == [], self._open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self._open.append(tag)
        for name, value in attributes:
            if name == "id":
                assert value not in self._ids, f"id {value} stands twice"
                self._ids.add(value or "")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        del tag, attributes

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self._open, f"</{tag}> closes nothing"
            assert self._open.pop() == tag, f"</{tag}> in the wrong place"


def _said(path: str, answer: httpx.Response) -> str:
    told = words(answer.text) if "<main" in answer.text else answer.text
    return f"{path}: {answer.status_code} {told[:600]}"


def words(text: str) -> str:
    """Return what a person reads on a page."""
    main = text[text.index('<main id="main"') :]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", main)).split())
