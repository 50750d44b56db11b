"""A small upstream that answers as it is told, behind httpx's own transport port."""

from collections.abc import AsyncIterator, Callable

import httpx
import msgspec
import trio

ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "model": "real-1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "High."}}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2},
}


class Pieces(httpx.AsyncByteStream):
    """A body that comes in pieces: bytes, a number of seconds to wait, or an error."""

    def __init__(self, *pieces: bytes | float | Exception) -> None:
        self.pieces = pieces
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            match piece:
                case bytes():
                    yield piece
                case Exception():
                    raise piece
                case seconds:
                    await trio.sleep(seconds)

    async def aclose(self) -> None:
        self.closed = True


class StandIn(httpx.AsyncBaseTransport):
    """Answers each request with the next of what it was given; the last one again and again."""

    def __init__(self, *answers: httpx.Response | Exception | float | Callable) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, float):
            await trio.sleep(answer)
            return whole()
        return answer() if callable(answer) else answer

    def bodies(self) -> list[dict]:
        return [msgspec.json.decode(request.content) for request in self.asked]


def whole(status: int = 200, body: object = None, **headers: str) -> httpx.Response:
    content = msgspec.json.encode(ANSWER if body is None else body)
    given = {"content-type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return httpx.Response(status, headers=given, stream=Pieces(content))


def streamed(*pieces: bytes | float | Exception) -> httpx.Response:
    return httpx.Response(
        200, headers={"content-type": "text/event-stream"}, stream=Pieces(*pieces)
    )


def piece(text: str) -> bytes:
    said = {"choices": [{"index": 0, "delta": {"content": text}}]}
    return b"data: " + msgspec.json.encode(said) + b"\n\n"


USAGE = (
    b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}\n\n'
)
DONE = b"data: [DONE]\n\n"
