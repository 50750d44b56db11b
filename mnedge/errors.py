"""Every family of error that an operator or a client can meet.

The families are the things a caller does differently: mend the request, look elsewhere, come back
later, stop. A concrete error stands beside the code that raises it and narrows one of these.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class MnedgeError(Exception):
    """Something failed in a way worth explaining to the person who asked."""

    code: ClassVar[str] = "mnedge.error"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(
        self, message: str, *, hint: str = "", details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details: dict[str, Any] = dict(details or {})


class UsageError(MnedgeError):
    """The request is wrong; mend it and ask again."""

    code = "usage"
    exit_code = 2
    http_status = 400


class NotFoundError(MnedgeError):
    """What was asked for does not exist."""

    code = "not_found"
    exit_code = 2
    http_status = 404


class NotAllowedError(MnedgeError):
    """The caller may not do this."""

    code = "not_allowed"
    exit_code = 13
    http_status = 403


class ConflictError(MnedgeError):
    """The state moved meanwhile; read it again."""

    code = "conflict"
    http_status = 409


class OverloadedError(MnedgeError):
    """There is no room just now; come back after `retry_after_s`."""

    code = "overloaded"
    http_status = 429

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float,
        hint: str = "",
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, hint=hint, details=details)
        self.retry_after_s = retry_after_s


class UnavailableError(MnedgeError):
    """Something that is needed is away; asking again later may help."""

    code = "unavailable"
    http_status = 503


class CorruptError(MnedgeError):
    """Stored data breaks its own rules; asking again never helps."""

    code = "corrupt"
