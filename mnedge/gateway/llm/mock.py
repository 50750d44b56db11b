"""Deterministic answers without any upstream: the same request gives the same words.

Source: bundle format 7.20 (the fake response), OpenAI's answer shapes.
"""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from mnedge.gateway.llm.usage import estimated, text_bytes

MODEL = "deterministic-blueprint"
SUMMARY = "Deterministic review packet"
CONFIDENCE = 0.74
WIDTH = 8
"""Numbers in a mock embedding, unless `dimensions` says."""
MOST_DIMENSIONS = 4096


def answer(path: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole answer for a request to this path."""
    mark = hashlib.sha256(msgspec.json.encode(request, order="deterministic")).hexdigest()
    model = str(request.get("model") or MODEL)
    if path.endswith("/embeddings"):
        return _embeddings(request, model)
    text = _text(request, mark)
    count = estimated(
        text_bytes(request.get("messages") or request.get("prompt")), len(text.encode())
    )
    usage = {
        "prompt_tokens": count.prompt,
        "completion_tokens": count.completion,
        "total_tokens": count.total,
    }
    chat = path.endswith("/chat/completions")
    said: dict[str, Any] = (
        {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    )
    return {
        "id": f"mock-{mark[:24]}",
        "object": "chat.completion" if chat else "text_completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, **said, "logprobs": None, "finish_reason": "stop"}],
        "usage": usage,
    }


def pieces(path: str, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the same answer in the pieces of a stream."""
    whole = answer(path, request)
    chat = whole["object"] == "chat.completion"
    choice = whole["choices"][0]
    text = choice["message"]["content"] if chat else choice["text"]
    head = {
        "id": whole["id"],
        "object": "chat.completion.chunk" if chat else "text_completion",
        "created": 0,
        "model": whole["model"],
    }
    for number, word in enumerate(re.findall(r"\S+\s*", text)):
        first = {"role": "assistant"} if number == 0 else {}
        said = {"delta": {**first, "content": word}} if chat else {"text": word}
        yield {**head, "choices": [{"index": 0, **said, "finish_reason": None}]}
    end: dict[str, Any] = {"delta": {}} if chat else {"text": ""}
    yield {**head, "choices": [{"index": 0, **end, "finish_reason": "stop"}]}
    options = request.get("stream_options")
    if isinstance(options, Mapping) and options.get("include_usage"):
        yield {**head, "choices": [], "usage": whole["usage"]}


def _text(request: Mapping[str, Any], mark: str) -> str:
    wants = request.get("response_format")
    if isinstance(wants, Mapping) and wants.get("type") in {"json_object", "json_schema"}:
        packet = {
            "provider": "fake",
            "model": MODEL,
            "confidence": CONFIDENCE,
            "summary": f"{SUMMARY} {mark[:8]}",
        }
        return msgspec.json.encode(packet).decode()
    return f"{SUMMARY} {mark[:8]}, confidence {CONFIDENCE}."


def _embeddings(request: Mapping[str, Any], model: str) -> dict[str, Any]:
    given = request.get("input")
    texts = given if isinstance(given, list) else [given]
    asked = request.get("dimensions")
    width = min(asked, MOST_DIMENSIONS) if isinstance(asked, int) and asked > 0 else WIDTH
    count = estimated(text_bytes(texts), 0)
    return {
        "object": "list",
        "model": model,
        "data": [
            {"object": "embedding", "index": number, "embedding": _direction(text, width)}
            for number, text in enumerate(texts)
        ],
        "usage": {"prompt_tokens": count.prompt, "total_tokens": count.prompt},
    }


def _direction(text: Any, width: int) -> list[float]:
    """Return a unit vector that depends on the text alone."""
    source = msgspec.json.encode(text)
    wide = hashlib.shake_256(source).digest(width)
    numbers = [(byte - 127.5) / 127.5 for byte in wide]
    length = math.sqrt(sum(number * number for number in numbers))
    return [round(number / length, 6) for number in numbers]
