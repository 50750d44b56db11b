"""Whether the settings make sense together: every complaint at once."""

import os
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address, ip_network
from typing import NamedTuple
from urllib.parse import urlsplit

from mnedge.config.problem import Rule
from mnedge.config.settings import Adapter, Config, Listen, SecretRef, Slo
from mnedge.config.written import DURATION_FORMS, seconds
from mnedge.model.addresses import is_loopback

KEY_BYTES = 32
SECRET_STORES = ("env", "file", "cred")
_PORT = re.compile(r"\d{1,5}\Z")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?\Z")


class Complaint(NamedTuple):
    """What is wrong with the value at a path."""

    path: str
    message: str
    expected: str = ""
    hint: str = ""
    rule: Rule = "CFG-E05"


class Address(NamedTuple):
    """Where a listener listens; port 0: any that is free."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Tell whether only this machine reaches it."""
        return is_loopback(self.host)


def address_of(text: str) -> Address | None:
    """Return what `HOST:PORT` or `[HOST]:PORT` names, or None if it is not so written."""
    host, _, port = text.rpartition(":")
    if not _PORT.match(port) or int(port) > 65535:
        return None
    if host.startswith("[") and host.endswith("]"):
        try:
            return Address(str(ip_address(host[1:-1])), int(port))
        except ValueError:
            return None
    return Address(host, int(port)) if _HOST.match(host) else None


def complaints(config: Config) -> Iterator[Complaint]:
    """Yield all that makes no sense, or is probably not meant."""
    yield from _listening(config.relay.listen)
    yield from _gateway(config)
    yield from _adapters(config.relay.adapters)
    yield from _telemetry(config)
    yield from _updates(config)


def _listening(listen: Listen) -> Iterator[Complaint]:
    for name, text in (("http", listen.http), ("grpc", listen.grpc)):
        path = f"relay.listen.{name}"
        if text is None:
            continue
        address = address_of(text)
        if address is None:
            yield Complaint(
                path,
                f"{text!r} is no address",
                "HOST:PORT with a port from 0 to 65535",
                "for example 127.0.0.1:8080; 0.0.0.0:8080 for every interface",
            )
        elif not address.loopback and listen.tls is None and not listen.allow_plain:
            yield Complaint(
                path,
                f"others can reach {text}, and what goes there would not be encrypted",
                hint="give relay.listen.tls, or set allowPlain if the network is trusted",
            )
        elif not address.loopback and listen.tls is None:
            yield Complaint(
                path,
                f"{text} is open to others without encryption, as allowPlain says",
                rule="CFG-W02",
            )
    if listen.socket is not None and not os.path.isabs(listen.socket):
        yield Complaint("relay.listen.socket", f"{listen.socket!r} is not absolute", "a full path")
    if listen.tls is None:
        return
    files = {"certFile": listen.tls.cert_file, "keyFile": listen.tls.key_file}
    for name, file in files.items():
        if file is None and any(files.values()):
            yield Complaint("relay.listen.tls", f"lacks {name}", "certFile and keyFile, or neither")
        elif file is not None and not os.path.isfile(file):
            yield Complaint(f"relay.listen.tls.{name}", f"there is no file {file}")


def _gateway(config: Config) -> Iterator[Complaint]:
    relay = config.relay
    positive = {
        "rateLimit.requestsPerSecond": relay.rate_limit.requests_per_second,
        "rateLimit.burst": relay.rate_limit.burst,
        "limits.maxBody": relay.limits.max_body,
        "limits.headerBytes": relay.limits.header_bytes,
        "limits.requestTimeout": relay.limits.request_timeout,
        "limits.idleTimeout": relay.limits.idle_timeout,
        "limits.maxConnections": relay.limits.max_connections,
        "limits.maxStreams": relay.limits.max_streams,
        "limits.streamBacklog": relay.limits.stream_backlog,
    }
    for name, value in positive.items():
        if value <= 0:
            yield Complaint(f"relay.{name}", f"is {value:g}", "more than 0")
    for number, network in enumerate(relay.trusted_proxies):
        try:
            ip_network(network)
        except ValueError:
            yield Complaint(
                f"relay.trustedProxies[{number}]",
                f"{network!r} is no address or network",
                "10.0.0.7 or 10.0.0.0/8",
            )
    for number, origin in enumerate(relay.cors):
        parts = urlsplit(origin)
        plain = f"{parts.scheme}://{parts.netloc}"
        if parts.scheme not in ("http", "https") or not parts.netloc or plain != origin:
            yield Complaint(
                f"relay.cors[{number}]",
                f"{origin!r} is no origin",
                "https://HOST or https://HOST:PORT, without a path",
            )
    if config.soul.policies.token_ttl <= 0:
        yield Complaint("soul.policies.tokenTTL", "is 0", "more than 0")
    if config.soul.jwt.rotate_hours <= 0:
        yield Complaint(
            "soul.jwt.rotateHours", f"is {config.soul.jwt.rotate_hours:g}", "more than 0"
        )
    if config.soul.audit.keep_days < 1:
        yield Complaint("soul.audit.keepDays", f"is {config.soul.audit.keep_days}", "1 or more")
    if config.snapshot_bytes < 1:
        yield Complaint("snapshot_bytes", "is 0", "more than 0")


def _adapters(adapters: Sequence[Adapter]) -> Iterator[Complaint]:
    names = [adapter.name for adapter in adapters]
    for number, adapter in enumerate(adapters):
        path = f"relay.adapters[{number}]"
        if not adapter.name or names.index(adapter.name) != number:
            yield Complaint(
                f"{path}.name", f"{adapter.name!r} is taken or empty", "a name of its own"
            )
        yield from _upstream(path, adapter)
        for place, name in enumerate(adapter.fallback):
            if name not in names or name == adapter.name:
                yield Complaint(
                    f"{path}.fallback[{place}]",
                    f"{name!r} is no other adapter",
                    _one_of(one for one in names if one != adapter.name),
                )
        yield from _secret(f"{path}.auth.secretRef", adapter.auth.secret_ref)
        if adapter.log_bodies:
            yield Complaint(
                f"{path}.logBodies", "what callers and models say is never logged", "false"
            )
        for place, route in enumerate(adapter.routes):
            if not route.match.startswith("/"):
                yield Complaint(
                    f"{path}.routes[{place}].match", f"is {route.match!r}", "a path: /v1/…"
                )


def _upstream(path: str, adapter: Adapter) -> Iterator[Complaint]:
    if not adapter.base_url:
        if not adapter.mock:
            yield Complaint(path, "has neither baseUrl nor mock", "a baseUrl, or mock: true")
        return
    parts = urlsplit(adapter.base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        yield Complaint(f"{path}.baseUrl", f"{adapter.base_url!r} is no address", "https://HOST/…")
    elif parts.username or parts.password:
        yield Complaint(
            f"{path}.baseUrl", "holds a login", hint="use auth.secretRef: it is shown nowhere"
        )
    elif (
        parts.scheme == "http"
        and not adapter.allow_plain
        and not Address(parts.hostname, 0).loopback
    ):
        yield Complaint(
            f"{path}.baseUrl",
            f"what goes to {parts.hostname} would not be encrypted",
            hint="use https, or set allowPlain if the network is trusted",
        )


def _secret(path: str, reference: SecretRef | None) -> Iterator[Complaint]:
    if reference is not None and reference.name not in SECRET_STORES:
        yield Complaint(
            f"{path}.name", f"is {reference.name!r}", f"one of {', '.join(SECRET_STORES)}"
        )


def _updates(config: Config) -> Iterator[Complaint]:
    updates = config.updates
    for number, key in enumerate(updates.keys):
        if not _is_key(key.split()[-1] if key.strip() else ""):
            yield Complaint(
                f"updates.keys[{number}]",
                f"{key!r} is no key",
                "base64 of the 32 bytes of an Ed25519 public key",
                "`python packaging/sign.py --new-key FILE` prints it when a pair is made",
            )
    if updates.health_timeout <= 0:
        yield Complaint("updates.healthTimeout", f"is {updates.health_timeout:g}", "more than 0")


def _is_key(text: str) -> bool:
    try:
        return len(b64decode(text, validate=True)) == KEY_BYTES
    except ValueError:
        return False


def _telemetry(config: Config) -> Iterator[Complaint]:
    trace = config.trace
    if trace.otel.endpoint is not None:
        parts = urlsplit(trace.otel.endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            yield Complaint(
                "trace.otel.endpoint", f"is {trace.otel.endpoint!r}", "http(s)://HOST:PORT"
            )
    if not 0 <= trace.otel.ratio <= 1:
        yield Complaint("trace.otel.ratio", f"is {trace.otel.ratio:g}", "from 0 to 1")
    for name, header in trace.otel.headers.items():
        path = f"trace.otel.headers.{name}"
        if isinstance(header, SecretRef):
            yield from _secret(path, header)
        else:
            yield Complaint(
                path,
                "this value stands in the file for all who can read it",
                hint="if it is secret: {name: env, key: VARIABLE} or {name: file, key: PATH}",
                rule="CFG-W01",
            )
    if not trace.metrics.prometheus.path.startswith("/"):
        yield Complaint(
            "trace.metrics.prometheus.path", f"is {trace.metrics.prometheus.path!r}", "a path: /…"
        )
    yield from _goals(trace.slos)
    yield from _alerts(config)


def _alerts(config: Config) -> Iterator[Complaint]:
    trace = config.trace
    places = [place.name for place in trace.notify]
    for number, name in enumerate(places):
        if not name or places.index(name) != number:
            yield Complaint(f"trace.notify[{number}].name", f"{name!r} is taken or empty")
    alerts = [alert.name for alert in trace.alerts]
    for number, alert in enumerate(trace.alerts):
        if not alert.name or alerts.index(alert.name) != number:
            yield Complaint(f"trace.alerts[{number}].name", f"{alert.name!r} is taken or empty")
        for at, name in enumerate(alert.notify):
            if name not in places:
                yield Complaint(
                    f"trace.alerts[{number}].notify[{at}]",
                    f"{name!r} does not stand in trace.notify",
                    _one_of(places),
                )


def _goals(slos: Sequence[Slo]) -> Iterator[Complaint]:
    names = [slo.name for slo in slos]
    for number, slo in enumerate(slos):
        path = f"trace.slos[{number}]"
        if not slo.name or names.index(slo.name) != number:
            yield Complaint(f"{path}.name", f"{slo.name!r} is taken or empty", "a name of its own")
        if slo.window <= 0:
            yield Complaint(f"{path}.window", "is 0", "more than 0")
        if slo.percentile is not None and not 0 < slo.percentile < 100:
            yield Complaint(f"{path}.percentile", f"is {slo.percentile:g}", "between 0 and 100")
        if not _is_target(slo.target):
            yield Complaint(
                f"{path}.target",
                f"{slo.target!r} is no goal",
                f"99.5%, 0.995, or for a percentile a duration: {DURATION_FORMS}",
            )


def _one_of(names: Iterable[str]) -> str:
    listed = ", ".join(filter(None, names))
    return f"one of {listed}" if listed else "nothing: there is none"


def _is_target(text: str) -> bool:
    share = text.strip().removesuffix("%")
    try:
        number = float(share)
    except ValueError:
        found = seconds(text)
        return found is not None and found > 0
    return 0 < number <= (100 if text.strip().endswith("%") else 1)
