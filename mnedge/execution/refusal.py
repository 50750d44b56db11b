"""Why an attempt cannot go on, as a value: the executor turns it into a failed outcome."""

from typing import Any


class RefusedError(Exception):
    """An attempt fails with this error; never leaves this package.

    `error` is what the failed outcome carries: at least `{"error": text}`.
    """

    def __init__(self, text: str, **more: Any) -> None:
        super().__init__(text)
        self.error: dict[str, Any] = {"error": text, **more}
