"""The decorators that Python workflows import: where work runs they only have to be there.

What they say was read when the bundle was compiled. Shipped as `mn_sdk.workflows`.
"""

from collections.abc import Callable
from typing import Any


class agent:
    """Marks the methods that are agents."""

    @staticmethod
    def defn(*_: Any, **__: Any) -> Callable[[Any], Any]:
        """Return a decorator that leaves the function as it is."""
        return _as_it_is


class workflow:
    """Marks the class that is a workflow, and its `run`."""

    @staticmethod
    def defn(*_: Any, **__: Any) -> Callable[[Any], Any]:
        """Return a decorator that leaves the class as it is."""
        return _as_it_is

    @staticmethod
    def run(function: Any) -> Any:
        """Return the method as it is."""
        return function

    @staticmethod
    def input(_: str, default: Any = None) -> Any:
        """Return the default: the input itself was bound when the bundle was compiled."""
        return default


def _as_it_is(thing: Any) -> Any:
    return thing
