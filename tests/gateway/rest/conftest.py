"""`node`: a backend, its rig and a client, in real time: what is submitted goes through threads."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from mnedge.gateway.backend import Backend
from tests.gateway.backends import a_backend, client
from tests.runtime.rig import Rig


class Node(NamedTuple):
    backend: Backend
    rig: Rig
    api: httpx.AsyncClient

    async def get(self, path: str, status: int = 200, **more: Any) -> Any:
        answer = await self.api.get(f"/api/v1{path}", **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def post(self, path: str, body: Any = None, status: int = 200, **more: Any) -> Any:
        answer = await self.api.post(f"/api/v1{path}", json=body, **more)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with a_backend(tmp_path) as (backend, rig), client(backend) as api:
        yield Node(backend, rig, api)
