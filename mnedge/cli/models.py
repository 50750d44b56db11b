"""What `relay` does: it asks the daemon, for nothing of it is kept where no daemon runs."""

from typing import TYPE_CHECKING, Any

import msgspec
import trio

from mnedge.cli.reach import line
from mnedge.cli.screen import Screen
from mnedge.cli.show import STYLES, Cell, columns, counted, fields, one_line
from mnedge.cli.verbs import Asked, near
from mnedge.errors import NotFoundError, UnavailableError

if TYPE_CHECKING:
    from mnedge.cli.link import Link

ANSWER_S = 120.0
_STATES = {"closed": ("asked", "green"), "half-open": ("on trial", "yellow")}
_LEFT_ALONE = ("left alone", "red")


class AdapterNotFoundError(NotFoundError):
    """No adapter is called so."""

    code = "relay.adapter_not_found"


class AdapterFailedError(UnavailableError):
    """The upstream did not answer as a model does."""

    code = "relay.adapter_failed"


async def list_adapters(asked: Asked) -> None:
    """Print the upstreams."""
    async with line(asked, "passes requests on to models") as link:
        found = (await link.get("/llm/adapters"))["data"]
    screen = Screen(asked)
    if not asked.human:
        screen.records(found)
        return
    if not found:
        screen.say("no adapters")
        screen.hint("relay.adapters in the configuration names them; mnedge docs models")
        return
    head = [Cell(word, "dim") for word in ("adapter", "state", "busy", "upstream", "models")]
    screen.say(*columns([head, *(_row(one) for one in found)], width=screen.width))


def _row(one: dict[str, Any]) -> list[Cell]:
    word, style = _STATES.get(one["state"], _LEFT_ALONE)
    fallback = f"; else {', '.join(one['fallback'])}" if one["fallback"] else ""
    return [
        Cell(one["name"], "bold"),
        Cell("mock" if one["mock"] else word, STYLES.get(word, style)),
        Cell(str(one["busy"]), right=True),
        Cell("" if one["mock"] else one["base_url"]),
        Cell((", ".join(one["models"]) or "any") + fallback, "dim"),
    ]


async def tell_usage(asked: Asked, days: int) -> None:
    """Print what was used."""
    async with line(asked, "passes requests on to models") as link:
        found = (await link.get("/llm/usage", days=days))["data"]
    screen = Screen(asked)
    if not asked.human:
        screen.records(found)
        return
    if not found:
        screen.say(f"nothing was used in {counted(days, 'day')}")
        return
    words = ("day", "adapter", "model", "caller", "requests", "in", "out", "")
    head = [Cell(word, "dim", right=word in ("requests", "in", "out")) for word in words]
    screen.say(*columns([head, *(_used(one) for one in found)], width=screen.width))
    whole = sum(one["prompt_tokens"] + one["completion_tokens"] for one in found)
    asked_for = counted(sum(one["requests"] for one in found), "request")
    screen.say("", f"{asked_for}, {counted(whole, 'token')}")


def _used(one: dict[str, Any]) -> list[Cell]:
    figures = ("requests", "prompt_tokens", "completion_tokens")
    return [
        Cell(one["day"], "dim"),
        Cell(one["adapter"]),
        Cell(one["model"], "bold"),
        Cell(one["caller"]),
        *(Cell(str(one[name]), right=True) for name in figures),
        Cell("partly a guess" if one["estimated_tokens"] else "", "dim"),
    ]


async def try_adapter(asked: Asked, adapter: str, model: str) -> None:
    """Have one short answer, and print what came."""
    async with line(asked, "passes requests on to models") as link:
        found = {one["name"]: one for one in (await link.get("/llm/adapters"))["data"]}
        if adapter not in found:
            meant = near(adapter, found) or list(found)[:5]
            raise AdapterNotFoundError(
                f"no adapter is called {adapter!r}",
                hint=f"there is {', '.join(meant)}" if meant else "relay.adapters names them",
            )
        named = model or next(iter(found[adapter]["models"]), "")
        began = trio.current_time()
        answer = await _answer(link, adapter, named)
        took_s = trio.current_time() - began
    screen = Screen(asked)
    if not asked.human:
        screen.document({"adapter": adapter, "model": named, "took_s": took_s, "answer": answer})
        return
    screen.good(f"{adapter} answers in {took_s:.2f} s")
    said = answer.get("choices") or [{}]
    usage = answer.get("usage") or {}
    screen.say(
        *fields(
            [
                ("model", str(answer.get("model") or named)),
                ("says", one_line((said[0].get("message") or {}).get("content") or "", 200)),
                ("tokens", f"{usage['total_tokens']}" if "total_tokens" in usage else ""),
            ]
        )
    )


async def _answer(link: "Link", adapter: str, model: str) -> dict[str, Any]:
    import httpx

    body = {
        "model": model or None,
        "messages": [{"role": "user", "content": "Answer with one word: ready"}],
        "max_tokens": 16,
    }
    sent = {name: value for name, value in body.items() if value is not None}
    try:
        response = await link.client.post(
            f"/llm/{adapter}/v1/chat/completions", json=sent, timeout=ANSWER_S
        )
        answer = msgspec.json.decode(response.content)
    except (httpx.TransportError, msgspec.DecodeError) as error:
        raise AdapterFailedError(
            f"{adapter} gave no answer: {error or type(error).__name__}"
        ) from error
    if response.is_success and isinstance(answer, dict):
        return answer
    told = answer.get("error") if isinstance(answer, dict) else None
    why = told.get("message") if isinstance(told, dict) else answer.get("detail")
    raise AdapterFailedError(
        f"{adapter} does not answer: {why or response.status_code}",
        hint="mnedge relay adapters shows how it stands",
    )
