"""Runs one module agent's class; started by the payload's interpreter as a script of its own.

Standard library only, any Python from 3.9 on: mnedge itself may be frozen or of another version.

Requests and answers are JSON, each after its length as four bytes (big endian), over the streams
this process was started with. They are moved out of the way first: what the class prints goes to
stderr, and it reads nothing from stdin.

The state passes through JSON after every call, also when it stays here: a class sees the same state
whether its process went on or was started again.
"""

from __future__ import annotations

import base64
import importlib
import inspect
import json
import math
import os
import struct
import sys
import traceback
from typing import Any, BinaryIO

LENGTH = struct.Struct(">I")


class Context:
    """What a callback is given: facts about the job, and how to make actions.

    Every helper returns the action it makes. A callback returns `(state, actions)`; if it returns
    None, the state is the one it was given (and may have changed), and the actions are all that it
    made, in order.
    """

    def __init__(self, facts: dict[str, Any]) -> None:
        self.job_id = facts["job_id"]
        self.agent_id = facts["agent_id"]
        self.node = facts["node"]
        self.outbound_edges = facts["outbound_edges"]
        self.inbound_edges = facts["inbound_edges"]
        self.payloads_path = facts["payloads_path"]
        self.bundle_root = facts["bundle_root"]
        self.manifest_path = facts["manifest_path"]
        self.template_type = facts["template_type"]
        self.invocation: int | None = None
        self._made: list[Any] = []

    def emit(
        self,
        type: str,  # noqa: A002
        body: Any = None,
        *,
        to: str | None = None,
        class_: str | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Send a message along the edges for its type, or straight to an agent.

        Options: headers, correlation_id, causation_id, content_type, content_encoding, artifacts,
        stream; what is left out is as in the message being handled.
        """
        return self._make(
            "emit", {"type": type, "body": body, "to": to, "class": class_, **options}
        )

    def emit_to(
        self,
        agent_id: str,
        type: str,  # noqa: A002
        body: Any = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Send a message straight to an agent."""
        return self.emit(type, body, to=agent_id, **options)

    def emit_message(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send a ready-made message to the agent that its envelope names."""
        envelope = message.get("envelope") or {}
        chosen = ("correlation_id", "causation_id", "content_type", "content_encoding")
        options = {key: envelope.get(key) for key in chosen}
        for key in ("headers", "artifacts", "stream"):
            options[key] = message.get(key)
        return self.emit(
            envelope.get("type", "command"),
            message.get("body"),
            to=envelope.get("to"),
            class_=envelope.get("class"),
            **options,
        )

    def event(self, type: str, payload: Any = None) -> dict[str, Any]:  # noqa: A002
        """Publish an event."""
        return self._make("event", {"type": type, "payload": {} if payload is None else payload})

    def deliver_later(
        self,
        delay_s: float,
        type: str,  # noqa: A002
        body: Any = None,
    ) -> dict[str, Any]:
        """Get a message from oneself after a delay in seconds."""
        return self._make("deliver_later", {"delay_s": delay_s, "type": type, "body": body})

    def complete_step(self, result: Any = True) -> dict[str, Any]:
        """Complete this agent's step; without a result, with the message's body."""
        return self._make("complete_step", {"result": result})

    def complete_run(self, result: Any = True) -> dict[str, Any]:
        """Complete the run; without a result, with the message's body."""
        return self._make("complete_run", {"result": result})

    def checkpoint(self, snapshot: dict[str, Any]) -> dict[str, Any]:
        """Replace what is shown as this agent's snapshot."""
        return self._make("checkpoint", {"snapshot": snapshot})

    def _make(self, kind: str, members: dict[str, Any]) -> dict[str, Any]:
        action = {"action": kind, **members}
        self._made.append(action)
        return action

    def begin(self, invocation: int | None) -> None:
        """A callback is about to run."""
        self.invocation = invocation
        self._made = []

    def taken(self) -> list[Any]:
        """Return what the callback made, once."""
        made, self._made = self._made, []
        return made


class ReturnedError(Exception):
    """A callback returned an error: it ends the job, while an exception restarts the agent."""


class Host:
    """The class, its instance, and the state it last answered with."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.node = request["node"]
        self.context = Context(request["context"])
        self.agent = load(request["module"], request["paths"])()
        self.state: Any = None
        self.loop: Any = None

    def call(self, request: dict[str, Any]) -> str:
        """Let the class handle a message, or recover; return actions and next state."""
        if "state" in request:
            self.state = request["state"]
        elif request["init"]:
            self.context.begin(None)
            self.state = (
                json.loads(to_json(self.run("init", self.node))) if self.has("init") else {}
            )
        self.context.begin(request["invocation"])
        message = request["message"]
        if message is None:
            said = self.run("recover", self.state, self.context) if self.has("recover") else None
        else:
            if request.get("body_base64"):
                message["body"] = base64.b64decode(message["body"])
            said = self.run("handle_message", message, self.state, self.context)
        state, actions = self.understood(said)
        actions = [with_bytes_apart(action) for action in actions]
        text = to_json(state)
        self.state = json.loads(text)
        return '{"actions":%s,"state":%s}' % (to_json(actions), text)  # noqa: UP031

    def has(self, name: str) -> bool:
        """Tell whether the class has that callback."""
        return callable(getattr(self.agent, name, None))

    def run(self, name: str, *arguments: Any) -> Any:
        """Call a callback, wait if it is asynchronous."""
        said = getattr(self.agent, name)(*arguments)
        if not inspect.isawaitable(said):
            return said
        if self.loop is None:
            import asyncio  # noqa: TID251

            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)
        return self.loop.run_until_complete(said)

    def understood(self, said: Any) -> tuple[Any, list[Any]]:
        """Return next state and actions of whatever a callback returned."""
        if said is None:
            return self.state, self.context.taken()
        if isinstance(said, (tuple, list)) and len(said) == 2:
            first, second = said
            if isinstance(first, str) and first == "error":
                raise ReturnedError(second if isinstance(second, str) else to_json(second))
            if second is None or isinstance(second, (tuple, list)):
                return first, list(second or ())
        raise TypeError(
            "a callback returns (state, actions), None or ('error', reason), not "
            + type(said).__name__
        )


def load(name: str, paths: list[str]) -> Any:
    """Return the class that `package.module:Class` names, looked for in `paths` first."""
    sys.path[:0] = paths
    module, _, qualified = name.partition(":")
    found = importlib.import_module(module)
    for part in qualified.split("."):
        found = getattr(found, part)
    return found


def with_bytes_apart(action: Any) -> Any:
    """Return the action with a body of bytes as base64."""
    if isinstance(action, dict) and isinstance(action.get("body"), (bytes, bytearray)):
        action = dict(action)
        action["body_base64"] = base64.b64encode(action.pop("body")).decode()
    return action


def to_json(value: Any) -> str:
    """Return the value as JSON; what is not a number becomes null."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(without_nan(value), separators=(",", ":"))


def without_nan(value: Any) -> Any:
    """Return the value with null for what JSON has no number for."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return value


def read(stream: BinaryIO) -> Any:
    """Return the next request; None at the end."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    content = stream.read(length)
    return json.loads(content) if len(content) == length else None


def write(stream: BinaryIO, text: str) -> None:
    """Send one answer."""
    content = text.encode()
    stream.write(LENGTH.pack(len(content)) + content)
    stream.flush()


def streams_of_our_own() -> tuple[BinaryIO, BinaryIO]:
    """Move the protocol's streams away, and put harmless ones in their place."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    return requests, answers


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more. The first one says what to load."""
    host: Host | None = None
    while (request := read(requests)) is not None:
        try:
            if host is None:
                host = Host(request)
                answer = "{}"
            else:
                answer = host.call(request)
        except ReturnedError as error:
            answer = json.dumps({"error": str(error)})
        except (ImportError, AttributeError, SyntaxError) as error:
            kind = "crash" if host else "error"
            answer = json.dumps({kind: f"{type(error).__name__}: {error}", "trace": trace()})
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            answer = json.dumps({"crash": f"{type(error).__name__}: {error}", "trace": trace()})
        write(answers, answer)


def trace() -> str:
    """Return the traceback as people read it, this file's own frames left out."""
    kind, error, place = sys.exc_info()
    while place is not None and place.tb_frame.f_code.co_filename == __file__:
        place = place.tb_next
    return "".join(traceback.format_exception(kind, error, place))[-8192:]


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.path[0:1] = []  # the folder of this file is no place to import from
    serve(*streams_of_our_own())
