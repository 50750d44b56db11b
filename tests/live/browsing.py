"""A browser before a console."""

import json
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.live.box import Box, until

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
BLUEPRINTS = Path(__file__).resolve().parents[2] / "blueprints"


class Console:
    """A console that is served, and the browser that looks at it."""

    def __init__(self, origin: str, token: str, browser: Any, folder: Path) -> None:
        self.origin = origin
        self.token = token
        self._browser = browser
        self._folder = folder
        self._signed_in: Any = None

    def at(self, path: str) -> str:
        """Return the address of a page."""
        return self.origin + path

    @contextmanager
    def page(self, **settings: Any) -> Iterator[Any]:
        """Have a tab of its own, signed in; `page.said` has what went wrong in it."""
        if not self._signed_in:
            self._sign_in()
        context = self._browser.new_context(**{"storage_state": self._signed_in, **settings})
        page = context.new_page()
        page.said = []
        page.forget = page.said.clear
        page.on("console", lambda one: _note(page, one))
        page.on("pageerror", lambda error: page.said.append(("exception", str(error))))
        page.set_default_timeout(15_000)
        try:
            yield page
            wrong = [one for one in page.said if one[1] != "/nowhere"]
            assert wrong == [], wrong
        finally:
            context.close()

    def _sign_in(self) -> None:
        context = self._browser.new_context()
        page = context.new_page()
        page.goto(self.at("/jobs"))
        page.wait_for_url(self.at("/sign-in?next=%2Fjobs"))
        page.get_by_label("Token").fill(self.token)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(self.at("/jobs"))
        self._signed_in = context.storage_state()
        context.close()

    def submit(self, page: Any, blueprint: str, run_id: str, config: str = "") -> None:
        """Run a blueprint from its page."""
        page.goto(self.at(f"/blueprints/{blueprint}"))
        page.get_by_text("More", exact=True).click()
        page.get_by_label("Id of the job").fill(run_id)
        if config:
            page.get_by_label("Settings over the bundle's own").fill(config)
        page.get_by_role("button", name="Run").click()
        page.wait_for_url(self.at(f"/jobs/{run_id}?done=submitted"))

    def api(self, path: str, method: str = "GET") -> Any:
        """Return what the API says, not through the browser."""
        request = urllib.request.Request(
            self.at("/api/v1" + path),
            method=method,
            data=b"{}" if method == "POST" else None,
            headers={"content-type": "application/json"},
        )
        request.add_header("authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def cancel(self, job_id: str) -> None:
        """Cancel a job behind the browser's back."""
        self.api(f"/jobs/{job_id}/cancel", "POST")

    def zipped(self, blueprint: str) -> Path:
        """Return the zip of one of our blueprints."""
        folder = BLUEPRINTS / blueprint
        made = self._folder / blueprint
        return Path(shutil.make_archive(str(made), "zip", folder.parent, folder.name))

    def reloaded_until(self, page: Any, wanted: Any, tries: int = 100) -> None:
        """Load the page again until something is there; the way of a browser without scripts."""
        for _ in range(tries):
            if wanted.count():
                return
            page.wait_for_timeout(200)
            page.reload()
        raise AssertionError(f"{wanted} never came")


def _note(page: Any, message: Any) -> None:
    if message.type in ("error", "warning"):
        where = urlsplit(message.location.get("url", "")).path
        page.said.append((message.type, where if where == "/nowhere" else message.text))


@contextmanager
def a_console(folder: Path) -> Iterator[Console]:
    """Have a daemon with a console, and a browser."""
    from playwright.sync_api import sync_playwright

    with _served(folder) as (origin, token), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            yield Console(origin, token, browser, folder)
        finally:
            browser.close()


@contextmanager
def _served(folder: Path) -> Iterator[tuple[str, str]]:
    box = Box(folder)
    try:
        daemon = box.start("daemon", "--http", "127.0.0.1:0")
        told = box.home / "mnedge" / "endpoints.json"

        def ready() -> bool:
            assert daemon.poll() is None, daemon.communicate()
            return told.is_file()

        until(ready)
        token = box.call("token", "create", "--name", "browser", "--scope", "admin").stdout.strip()
        yield json.loads(told.read_text())["http"], token
    finally:
        box.close()


def axe_faults(page: Any) -> list[str]:
    """Return the serious and critical accessibility faults of the page that is shown."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{one['id']}: {one['help']}: {node['html'][:160]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:3]
    ]
