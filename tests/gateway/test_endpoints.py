"""Where a node listens on TCP, and that nobody listens without TLS by accident."""

import socket
import ssl
from contextlib import ExitStack, closing

import pytest

from mnedge.config.settings import Listen, Tls
from mnedge.gateway.endpoints import (
    EndpointInvalidError,
    ListenFailedError,
    PlainListenerError,
    endpoint,
    endpoints,
    has_own_files,
    opened,
    tls_context,
)
from mnedge.identity.certificates import own_certificate


@pytest.mark.parametrize(
    "text, host, port, loopback",
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080, True),
        ("localhost:0", "localhost", 0, True),
        ("[::1]:80", "::1", 80, True),
        ("*:80", "0.0.0.0", 80, False),
        ("[::]:80", "::", 80, False),
        ("10.0.0.1:80", "10.0.0.1", 80, False),
        ("edge.example:80", "edge.example", 80, False),
    ],
)
def test_an_address_is_read(text, host, port, loopback):
    one = endpoint("http", text)
    assert (one.host, one.port, one.loopback) == (host, port, loopback)


@pytest.mark.parametrize("text", ["", "8080", ":80", "host:", "host:x", "host:70000", "a:-1"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(EndpointInvalidError, match=r"relay\.listen\.http"):
        endpoint("http", text)


def test_what_others_can_reach_speaks_tls_unless_it_is_said_that_it_need_not():
    with pytest.raises(PlainListenerError) as caught:
        endpoints(Listen(http="0.0.0.0:80"))
    assert "allowPlain" in caught.value.hint
    with pytest.raises(PlainListenerError):
        endpoints(Listen(http="127.0.0.1:1", grpc="edge.example:2"))
    assert len(endpoints(Listen(http="0.0.0.0:80", allow_plain=True))) == 1
    assert len(endpoints(Listen(http="0.0.0.0:80", tls=Tls()))) == 1
    assert [one.text for one in endpoints(Listen(http="127.0.0.1:1", grpc="[::1]:2"))] == [
        "127.0.0.1:1",
        "[::1]:2",
    ]
    assert endpoints(Listen()) == []


def test_one_address_for_both_is_opened_once():
    assert len(endpoints(Listen(http="127.0.0.1:80", grpc="127.0.0.1:80"))) == 1
    assert len(endpoints(Listen(http="127.0.0.1:0", grpc="127.0.0.1:0"))) == 2


@pytest.mark.live
def test_a_name_with_two_addresses_has_one_port():
    with ExitStack() as stack:
        made = [
            stack.enter_context(closing(one)) for one in opened(endpoint("http", "localhost:0"))
        ]
        ports = {one.getsockname()[1] for one in made}
        assert len(ports) == 1
        assert 0 not in ports


@pytest.mark.live
def test_an_address_that_is_taken_is_named():
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenFailedError, match=f"127.0.0.1:{port}"):
            opened(endpoint("http", f"127.0.0.1:{port}"))
    with pytest.raises(ListenFailedError):
        opened(endpoint("http", "no.such.host.invalid:80"))


def test_tls_begins_at_1_2_and_offers_both_protocols(tmp_path):
    own = own_certificate(tmp_path, "edge", 1_800_000_000.0, ["localhost"])
    context = tls_context(own.certificate, own.key)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    with pytest.raises(ListenFailedError, match="no certificate"):
        tls_context(own.key, own.certificate)
    assert not has_own_files(Tls())
    assert has_own_files(Tls(cert_file="a", key_file="b"))
