"""`webhook`: posts each delivery as JSON.

With a `secret` each request is signed: `X-Mnedge-Signature: t=<unix seconds>,v1=<hex>`, where the
hex is HMAC-SHA256 over `<t>.<body>`. `Idempotency-Key` is the same at every try.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from mnedge.errors import UnavailableError, UsageError
from mnedge.hookspecs import hookimpl
from mnedge.model.addresses import is_loopback
from mnedge.ports import Delivery, Skill

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 10.0
MOST_TIMEOUT_S = 30.0
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which trying again may help; so may any other over 500."""
_KNOWN = frozenset({"url", "secret", "headers", "timeout_s", "allow_plain"})
_OURS = frozenset({"content-type", "content-length", "host", "idempotency-key"})


class WebhookRefusedError(UsageError):
    """The other side does not want it, and will not want it later."""

    code = "skill.refused"


class Webhook:
    """Posts to a URL."""

    name = "webhook"

    def check(self, settings: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with the settings."""
        problems = [
            f"{key!r} is no setting of webhook; it has {', '.join(sorted(_KNOWN))}"
            for key in settings
            if key not in _KNOWN
        ]
        problems += _url_problems(settings.get("url"), settings.get("allow_plain") is True)
        secret = settings.get("secret", "-")
        if not isinstance(secret, str) or not secret:
            problems.append("secret has to be a text that is not empty, or a secretRef")
        if not isinstance(settings.get("allow_plain", False), bool):
            problems.append("allow_plain has to be true or false")
        headers = settings.get("headers", {})
        if not isinstance(headers, Mapping) or not all(map(_is_header, headers.items())):
            problems.append(
                "headers has to be an object of texts; content-type, idempotency-key, host and "
                "x-mnedge-* are set by mnedge"
            )
        timeout_s = settings.get("timeout_s", TIMEOUT_S)
        if not isinstance(timeout_s, int | float) or not 0 < timeout_s <= MOST_TIMEOUT_S:
            problems.append(f"timeout_s has to be between 0 and {MOST_TIMEOUT_S:g}")
        return problems

    async def deliver(self, delivery: Delivery, settings: Mapping[str, Any]) -> None:
        """Post it; any 2xx means that it arrived."""
        problems = self.check(settings)
        if problems:
            raise UsageError("; ".join(problems))
        import httpx  # only here: who sends nothing need not load it
        import trio

        timeout_s = float(settings.get("timeout_s", TIMEOUT_S))
        content = msgspec.json.encode(delivery)
        try:
            with trio.fail_after(timeout_s):
                async with httpx.AsyncClient(
                    timeout=timeout_s, follow_redirects=False, trust_env=False
                ) as client:
                    request = client.build_request(
                        "POST",
                        settings["url"],
                        content=content,
                        headers=_headers(delivery, content, settings),
                    )
                    answer = await client.send(request, stream=True)
                    await answer.aclose()  # what it says matters not, however long it is
        except (trio.TooSlowError, httpx.TimeoutException) as error:
            raise UnavailableError(f"the webhook did not answer within {timeout_s:g} s") from error
        except httpx.InvalidURL as error:
            raise UsageError("url is no URL") from error
        except (httpx.HTTPError, OSError) as error:
            raise UnavailableError(
                f"the webhook cannot be reached: {type(error).__name__}"
            ) from error
        _judge(answer)


def _judge(answer: "httpx.Response") -> None:
    status = answer.status_code
    if 200 <= status < 300:
        return
    if status in AGAIN or status > 500:
        raise UnavailableError(f"the webhook answered {status}")
    if 300 <= status < 400:
        raise WebhookRefusedError(
            f"the webhook answered {status}: redirects are not followed",
            hint="give the URL it leads to",
        )
    raise WebhookRefusedError(f"the webhook answered {status}")


def _headers(delivery: Delivery, content: bytes, settings: Mapping[str, Any]) -> dict[str, str]:
    headers = {
        **settings.get("headers", {}),
        "Content-Type": "application/json",
        "Idempotency-Key": delivery.delivery_id,
        "User-Agent": "mnedge",
        "X-Mnedge-Kind": delivery.kind,
    }
    if "secret" in settings:
        headers["X-Mnedge-Signature"] = signature(settings["secret"], delivery.at, content)
    return headers


def signature(secret: str, at: float, content: bytes) -> str:
    """Return what a receiver compares: the moment, and the HMAC over it and the body."""
    moment = str(int(at))
    signed = moment.encode() + b"." + content
    return f"t={moment},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


def _url_problems(url: Any, allow_plain: bool) -> list[str]:
    if not isinstance(url, str):
        return ["url has to be the address to post to"]
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        return ["url is no URL"]
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_fine:
        return ["url has to begin with https:// and name a host"]
    if not url.isascii() or any(char <= " " for char in url):
        return ["url has to be ASCII without spaces"]
    if parts.scheme == "http" and not allow_plain and not is_loopback(parts.hostname):
        return ["url has to be https: plain http goes to this machine only, or with allow_plain"]
    return []


def _is_header(item: tuple[Any, Any]) -> bool:
    name, value = item
    return (
        isinstance(name, str)
        and isinstance(value, str)
        and bool(name)
        and name.replace("-", "").replace("_", "").isalnum()
        and name.isascii()
        and name.lower() not in _OURS
        and not name.lower().startswith("x-mnedge-")
        and value.isascii()
        and value.isprintable()
    )


@hookimpl
def skills() -> list[Skill]:
    """Bring `webhook`."""
    return [Webhook()]
