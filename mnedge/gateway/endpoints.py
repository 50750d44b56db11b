"""Where a node listens on TCP, and what it shows there."""

import socket
import ssl
from pathlib import Path

from msgspec import Struct

from mnedge.config.settings import Listen, Tls
from mnedge.errors import UnavailableError, UsageError
from mnedge.model.addresses import is_loopback

BACKLOG = 512
ALPN = ["h2", "http/1.1"]


class EndpointInvalidError(UsageError):
    """An address to listen on is not `HOST:PORT`."""

    code = "relay.endpoint_invalid"


class PlainListenerError(UsageError):
    """An address that others can reach was to be served without TLS."""

    code = "relay.plain"


class ListenFailedError(UnavailableError):
    """The system does not let mnedge listen there."""

    code = "relay.listen_failed"


class Endpoint(Struct, frozen=True):
    """An address to listen on; port 0: the system chooses."""

    listener: str
    """`http` or `grpc`."""
    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """True if only this machine can reach it."""
        return is_loopback(self.host)

    @property
    def text(self) -> str:
        """The address as people write it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def endpoint(listener: str, text: str) -> Endpoint:
    """Return what `HOST:PORT` says; `*` stands for every address of IPv4.

    Raises: EndpointInvalidError.
    """
    host, colon, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise EndpointInvalidError(
            f"relay.listen.{listener} is {text!r}", hint="write HOST:PORT, like 127.0.0.1:8080"
        )
    return Endpoint(listener, "0.0.0.0" if host == "*" else host, int(port))  # noqa: S104


def endpoints(listen: Listen) -> list[Endpoint]:
    """Return the TCP addresses to listen on; one that is named twice is opened once.

    Raises: EndpointInvalidError; PlainListenerError.
    """
    found: list[Endpoint] = []
    for listener, text in (("http", listen.http), ("grpc", listen.grpc)):
        if text:
            one = endpoint(listener, text)
            if one.port == 0 or (one.host, one.port) not in {(e.host, e.port) for e in found}:
                found.append(one)
    for one in found:
        if listen.tls is None and not listen.allow_plain and not one.loopback:
            raise PlainListenerError(
                f"{one.text} can be reached by others, and would speak without TLS",
                hint="set relay.listen.tls: {} (the node makes a certificate), listen on 127.0.0.1,"
                " or set relay.listen.allowPlain: true",
            )
    return found


def opened(one: Endpoint) -> list[socket.socket]:
    """Return sockets that listen on every address of the endpoint, all on one port.

    Raises: ListenFailedError.
    """
    try:
        addresses = socket.getaddrinfo(
            one.host, one.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise _failed(one, error.strerror or "no such host") from None
    made: list[socket.socket] = []
    port = one.port
    for family, kind, proto, _, address in addresses:
        if family not in (socket.AF_INET, socket.AF_INET6):
            continue
        listening = socket.socket(family, kind, proto)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                only = int(one.host != "::")
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
            listening.bind((address[0], port, *address[2:]))
            listening.listen(BACKLOG)
        except OSError as error:
            listening.close()
            if made:
                continue  # a name whose second address is not of this machine
            if address is not addresses[-1][4]:
                continue
            raise _failed(one, error.strerror or str(error)) from None
        listening.setblocking(False)
        port = listening.getsockname()[1]
        made.append(listening)
    if not made:
        raise _failed(one, "it has no address of IPv4 or IPv6")
    return made


def _failed(one: Endpoint, why: str) -> ListenFailedError:
    return ListenFailedError(
        f"cannot listen on {one.text}: {why}",
        hint=f"see who has it (ss -ltnp), or change relay.listen.{one.listener}",
        details={"address": one.text},
    )


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return what TLS listeners use.

    Raises: ListenFailedError if the files are no certificate and its key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.set_alpn_protocols(ALPN)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ListenFailedError(
            f"{certificate} and {key} are no certificate with its key: {error}",
            hint="mend relay.listen.tls, or leave its files out: the node makes its own",
        ) from None
    return context


def has_own_files(tls: Tls) -> bool:
    """Tell whether the operator names a certificate."""
    return tls.cert_file is not None and tls.key_file is not None
