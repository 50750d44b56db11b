from starlette.requests import Request

from mnedge.errors import UnavailableError
from mnedge.gateway.console.faults import shown
from tests.gateway.console.consoles import a_browser, words


async def test_browsers_get_a_page_and_programs_a_problem(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        assert "no page is at /nowhere" in words(await browser.get("/nowhere", 404))
        answer = await browser.http.get("/nowhere", headers={"accept": "application/json"})
        assert answer.headers["content-type"] == "application/problem+json"
        answer = await browser.http.put("/jobs", headers={"accept": "text/html"})
        assert answer.status_code == 405
        assert "It was refused" in words(answer.text)


async def test_what_is_raised_in_a_page_becomes_one(tmp_path, autojump_clock):
    async with a_browser(tmp_path) as browser:
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/x",
            "query_string": b"",
            "headers": [],
            "server": ("node", 80),
            "state": {"tell": lambda error, _: (500, [], b'{"detail": "odd", "hint": "look"}')},
            "app": browser_app(browser.backend),
        }

        async def away(_request):
            raise UnavailableError("the disk is full", hint="make room")

        async def broken(_request):
            raise ValueError("<b>secret</b>")

        answer = await shown(away)(Request(scope))
        assert answer.status_code == 503
        assert "make room" in answer.body.decode()
        answer = await shown(broken)(Request(scope))
        assert answer.status_code == 500
        text = answer.body.decode()
        assert "secret" not in text
        assert "It broke" in text


def browser_app(backend):
    from mnedge.gateway.console.app import application

    return application(backend, None)
