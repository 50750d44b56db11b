"""What a caller of a model can be refused for, and how OpenAI's clients are told."""

from collections.abc import Mapping
from typing import Any

from mnedge.errors import (
    MnedgeError,
    NotFoundError,
    OverloadedError,
    UnavailableError,
    UsageError,
)


class RequestInvalidError(UsageError):
    """The body is no request that a model could answer."""

    code = "llm.invalid"


class BodyTooLargeError(UsageError):
    """The request is larger than its route allows."""

    code = "relay.too_large"
    http_status = 413


class RouteUnknownError(NotFoundError):
    """No adapter serves this path."""

    code = "llm.route"


class ModelUnknownError(NotFoundError):
    """No adapter serves a model of this name."""

    code = "model.unknown"


class BusyError(OverloadedError):
    """The adapter takes no more just now: its rate, its tokens, or its queue are used up."""

    code = "llm.busy"


class UpstreamTimeoutError(UnavailableError):
    """The upstream has not answered in time."""

    code = "upstream.timeout"
    http_status = 504


class UpstreamUnavailableError(UnavailableError):
    """The upstream cannot be reached, or broke off."""

    code = "upstream.unavailable"
    http_status = 502


class UpstreamOpenError(UnavailableError):
    """The upstream failed so often that it is left alone for a while."""

    code = "upstream.open"

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message, details={"retry_after_s": retry_after_s})
        self.retry_after_s = retry_after_s


class UpstreamAuthError(UnavailableError):
    """The upstream does not take the key we have for it."""

    code = "upstream.auth"
    http_status = 502


_TYPES = {400: "invalid_request_error", 404: "invalid_request_error", 413: "invalid_request_error"}


def error_body(error: MnedgeError) -> dict[str, Any]:
    """Return the error as OpenAI's clients read it."""
    message = f"{error.message}; {error.hint}" if error.hint else error.message
    kind = "rate_limit_error" if error.http_status == 429 else "api_error"
    return {
        "error": {
            "message": message,
            "type": _TYPES.get(error.http_status, kind),
            "param": error.details.get("param"),
            "code": error.code,
        }
    }


def error_headers(error: MnedgeError) -> Mapping[str, str]:
    """Return `Retry-After` if the error says when to come back."""
    wait_s = getattr(error, "retry_after_s", None)
    return {} if wait_s is None else {"retry-after": str(max(1, round(wait_s)))}
