"""A web server that answers what the test says."""

import threading
from collections.abc import Callable
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Asked(NamedTuple):
    path: str
    headers: dict[str, str]


class Told(NamedTuple):
    status: int
    content: bytes = b""
    headers: dict[str, str] = {}  # noqa: RUF012


class Source:
    """Answers GET on a port of this machine while it is open; `answer(asked)` says what.

    A status of 0 never comes: the connection hangs until the source closes.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], Told] = lambda asked: Told(404)
        self.closing = threading.Event()
        source = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.path, headers)
                source.asked.append(asked)
                told = source.answer(asked)
                if told.status == 0:
                    source.closing.wait()
                    return
                self.send_response(told.status)
                for name, value in told.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(told.content)))
                self.end_headers()
                self.wfile.write(told.content)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = False
            block_on_close = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))  # noqa: TID251

    def holds(self, content: bytes, kind: str, *, etag: bool = True) -> None:
        """Answer this from now on, and 304 to whoever has it."""
        tag = f'"{sha256(content).hexdigest()[:12]}"'

        def answer(asked: Asked) -> Told:
            if etag and asked.headers.get("if-none-match") == tag:
                return Told(304)
            return Told(200, content, {"Content-Type": kind, **({"ETag": tag} if etag else {})})

        self.answer = answer

    def __enter__(self) -> "Source":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
