"""Ids, and how a derived one is made.

Nothing inside a job draws a random id: what follows from a fact gets its id from that fact, so a
replay names it alike.
"""

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import NewType

JobId = NewType("JobId", str)
"""One execution; also the run id and the name of its run folder."""
AgentId = NewType("AgentId", str)
MessageId = NewType("MessageId", str)
AttemptId = NewType("AttemptId", str)
TimerId = NewType("TimerId", str)
Digest = NewType("Digest", str)
"""`sha256:<64 hex digits>` of some content."""

_PLAIN = re.compile(r"[A-Za-z0-9_.~-]{1,100}")
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*")
_NOT_IN_RUN_ID = re.compile(r"[^A-Za-z0-9_.-]+")


def derived_id(text: str, *, size_bytes: int = 32) -> str:
    """Return the URL-safe base64 (no padding) of the first bytes of the SHA-256 of `text`."""
    return urlsafe_b64encode(sha256(text.encode()).digest()[:size_bytes]).rstrip(b"=").decode()


def plain_id(text: str) -> str:
    """Return an id that may stand in paths and environments: the text, or one derived from it."""
    return text if _PLAIN.fullmatch(text) else derived_id(text, size_bytes=10)


def is_run_id(text: str) -> bool:
    """Tell whether `text` may name a run folder (it can never leave its parent)."""
    return _RUN_ID.fullmatch(text) is not None and len(text) <= 200


def job_id_for(graph_id: str, unix_ms: int, random_hex: str) -> JobId:
    """Return `<graph_id>-<unix ms>-<12 hex>`, with what a folder name cannot hold replaced.

    Source: worker contract 5.2.
    """
    slug = _NOT_IN_RUN_ID.sub("-", graph_id).strip("-._")[:80] or "job"
    return JobId(f"{slug}-{unix_ms}-{random_hex}")
