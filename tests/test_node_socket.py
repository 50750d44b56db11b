"""A node is asked for its health over its socket, whatever the length of the path."""

import os
import socket
import threading
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
import trio

from mnedge import node_socket
from mnedge.node_socket import LONGEST_PATH_BYTES, address_of, health_of

pytestmark = pytest.mark.live


@contextmanager
def listening(path: Path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with address_of(path) as address, closing(socket.socket(socket.AF_UNIX)) as made:
        made.bind(address)
        made.listen()
        yield made


async def health_said(path: Path, body: bytes):
    """Return what is made of an answer with this body."""
    head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n".encode()

    def answer(made: socket.socket) -> None:
        client, _ = made.accept()
        with client:
            client.recv(4096)
            client.sendall(head + body)

    with listening(path) as made:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, answer, made)
            return await trio.to_thread.run_sync(health_of, path)


async def test_a_node_is_asked_and_its_process_is_known(tmp_path):
    health = await health_said(tmp_path / "s", b'{"status":"ok","version":"1.2"}')
    assert health == ({"status": "ok", "version": "1.2"}, os.getpid())


@pytest.mark.parametrize("body", [b"not json", b"[]", b"[" * 50_000])
async def test_an_answer_that_is_none_counts_as_silence(tmp_path, body):
    assert await health_said(tmp_path / "s", body) is None


def test_nobody_answers(tmp_path):
    assert health_of(tmp_path / "absent") is None
    (tmp_path / "file").touch()
    assert health_of(tmp_path / "file") is None


async def test_a_path_that_is_too_long_for_the_kernel_works(tmp_path):
    path = tmp_path / ("d" * 90) / ("e" * 90) / "mnedge.sock"
    assert len(os.fsencode(path)) > LONGEST_PATH_BYTES
    assert (await health_said(path, b'{"status":"ok"}')) is not None


async def test_an_answer_that_only_drips_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(node_socket, "ANSWER_S", 0.3)
    gave_up = threading.Event()
    lines = 0

    def drip(made: socket.socket) -> None:
        nonlocal lines
        client, _ = made.accept()
        with client, suppress(OSError):
            client.sendall(b"HTTP/1.1 200 OK\r\n")
            while lines < 90 and not gave_up.wait(0.1):
                client.sendall(b"X-%d: y\r\n" % lines)
                lines += 1

    with listening(tmp_path / "s") as made:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, drip, made)
            assert await trio.to_thread.run_sync(health_of, tmp_path / "s") is None
            gave_up.set()
    assert lines < 60
