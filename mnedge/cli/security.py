"""What `doctor --security` looks at: every way in, who may use it, and what guards it.

`broken` here means dangerous: somebody may get in who should not.
"""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from mnedge.cli.show import counted
from mnedge.cli.verdict import Finding, absent, broken, ok, warning
from mnedge.config.settings import Config, Listen, Tls
from mnedge.config.written import as_duration, as_size
from mnedge.daemon.clock import wall_clock
from mnedge.errors import MnedgeError
from mnedge.gateway.endpoints import Endpoint, endpoint, has_own_files
from mnedge.gateway.unix_socket import answers, group_id
from mnedge.identity.audit_file import verified
from mnedge.identity.certificates import ends_at, fingerprint_of
from mnedge.identity.keyfile import KeyFile
from mnedge.identity.private_files import refuse_unsafe
from mnedge.identity.tokens import PLAUSIBLE_AT

_DAY_S = 86_400.0
_MANY_REQUESTS = 10_000


def examine(config: Config) -> list[Finding]:
    """Return everything that was found."""
    return [
        *socket_findings(config),
        *tcp_findings(config),
        *certificate_findings(config),
        *key_findings(config),
        *token_findings(config),
        *limit_findings(config),
        *audit_findings(config),
    ]


def socket_findings(config: Config) -> Iterator[Finding]:
    """Look at the unix socket: who can connect, and as what."""
    path, group = config.socket, config.relay.listen.socket_group
    wanted = 0o600 if group is None else 0o660
    who = "its owner and root, as admin"
    if group is not None:
        who += f"; members of {group}, as operate"
    try:
        found = path.lstat()
    except FileNotFoundError:
        yield absent("unix socket", str(path), f"not there; a daemon makes it for {who}")
        return
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISSOCK(found.st_mode):
        yield broken("unix socket", str(path), "is no socket", "move it away")
    elif mode & 0o007:
        mend = f"chmod {wanted:o} {path}; a daemon makes it so when it starts"
        yield broken("unix socket", str(path), f"mode {mode:04o}: everybody may connect", mend)
    elif mode & 0o070 and group is None:
        mend = f"chmod 600 {path}, or name the group in relay.listen.socketGroup"
        yield broken("unix socket", str(path), f"mode {mode:04o}: a group may connect", mend)
    else:
        state = "answers" if answers(path) else "nobody listens"
        yield ok("unix socket", str(path), f"mode {mode:04o}, {state}: {who}; no token needed")
    yield from _group(config, group)


def _group(config: Config, group: str | None) -> Iterator[Finding]:
    if group is None:
        return
    try:
        gid = group_id(group)
    except MnedgeError as error:
        yield warning("unix socket", f"group {group}", error.message, error.hint)
        return
    folder = config.socket.parent
    if folder.is_dir():
        found = folder.stat()
        open_to_group = found.st_mode & 0o001 or (found.st_mode & 0o010 and found.st_gid == gid)
        if not open_to_group:
            mend = f"chgrp {group} {folder} && chmod g+x {folder}, or another relay.listen.socket"
            yield warning("unix socket", f"group {group}", f"cannot reach into {folder}", mend)


def tcp_findings(config: Config) -> Iterator[Finding]:
    """Look at each TCP listener."""
    listen, named = listening(config)
    if not named:
        yield ok("tcp", "listeners", "none: nothing can be reached over the network")
    for name, text in named:
        try:
            one = endpoint(name, text)
        except MnedgeError as error:
            yield broken("tcp", name, error.message, error.hint)
            continue
        yield _listener(one, listen)
    if config.relay.cors:
        origins = ", ".join(config.relay.cors)
        if "*" in config.relay.cors:
            yield broken("tcp", "cross-origin", "pages of any site may call", "name the origins")
        else:
            yield ok("tcp", "cross-origin", f"pages of {origins} may call, with a token")
    else:
        yield ok("tcp", "cross-origin", "off: pages of other sites cannot call")
    for proxy in config.relay.trusted_proxies:
        if proxy in ("0.0.0.0/0", "::/0"):
            found = "everybody may say whose request it is"
            yield broken("tcp", "trusted proxies", found, "name the proxy's own address")


def listening(config: Config) -> tuple[Listen, list[tuple[str, str]]]:
    """Return what is listened on: by the daemon that runs, else by one that would start now.

    A daemon may have been started with other flags than its configuration says.
    """
    listen = config.relay.listen
    named = {"http": listen.http, "grpc": listen.grpc}
    if answers(config.socket):
        try:
            told = json.loads((config.data_dir / "endpoints.json").read_bytes())
            named = {name: _place(told.get(name)) for name in named}
            if told.get("tls") and listen.tls is None:
                listen = replace(listen, tls=Tls())
            if not told.get("tls"):
                listen = replace(listen, tls=None)
        except (OSError, ValueError, AttributeError):
            pass  # then what the configuration says is the best that is known
    return listen, [(name, text) for name, text in named.items() if text]


def _place(url: str | None) -> str | None:
    return None if url is None else url.rpartition("/")[2]


def _listener(one: Endpoint, listen: Listen) -> Finding:
    who = _reach(one)
    known = "a bearer token says who and with which scope; /api/v1/health is open to all"
    name = f"{one.listener} {one.text}"
    if listen.tls is not None:
        return ok("tcp", name, f"{who}; TLS; {known}")
    if one.loopback:
        return ok("tcp", name, f"{who}; no TLS, for it never leaves the machine; {known}")
    if listen.allow_plain:
        mend = "set relay.listen.tls: {}, or put a proxy with TLS in front and listen on 127.0.0.1"
        found = f"{who}, without TLS (allowPlain): tokens can be read on the way"
        return broken("tcp", name, found, mend)
    mend = "set relay.listen.tls: {}; the daemon refuses to start like this"
    return broken("tcp", name, f"{who}, without TLS", mend)


def _reach(one: Endpoint) -> str:
    if one.loopback:
        return "only this machine reaches it"
    if one.host in ("0.0.0.0", "::"):  # noqa: S104
        return "everybody who reaches any address of this machine"
    return f"everybody who reaches {one.host}"


def certificate_findings(config: Config) -> Iterator[Finding]:
    """Look at the certificate that TCP listeners show."""
    tls = config.relay.listen.tls
    if tls is None:
        return
    if has_own_files(tls):
        certificate, key = Path(tls.cert_file or ""), Path(tls.key_file or "")
    else:
        folder = config.data_dir / "identity"
        certificate, key = folder / "tls.crt", folder / "tls.key"
    if not certificate.is_file():
        yield absent("certificate", str(certificate), "the daemon makes one when it starts")
        return
    try:
        left_s = ends_at(certificate) - wall_clock()
        print_ = fingerprint_of(certificate)
    except MnedgeError as error:
        yield broken("certificate", str(certificate), error.message, error.hint)
        return
    if left_s < 0:
        yield warning("certificate", "ends", "it has ended", "renew it, and restart the daemon")
    else:
        yield ok("certificate", "ends", f"in {left_s / _DAY_S:.0f} days")
    yield ok("certificate", "SHA-256", print_)
    yield from _private(key, "certificate", "its key")


def key_findings(config: Config) -> Iterator[Finding]:
    """Look at the folders and files that nobody else may read."""
    folder = config.data_dir
    if folder.is_dir():
        mode = stat.S_IMODE(folder.stat().st_mode)
        if mode & 0o002:
            yield broken("keys", str(folder), f"mode {mode:04o}: everybody may write", "chmod 700")
        elif mode & 0o005:
            found = f"mode {mode:04o}: others see names of jobs"
            yield warning("keys", str(folder), found, f"chmod 700 {folder}")
        else:
            yield ok("keys", str(folder), f"mode {mode:04o}")
    keys = KeyFile(config.data_dir)
    if keys.path.exists():
        yield from _private(keys.path, "keys", "signing keys")
    else:
        yield absent("keys", "signing keys", "none yet; the first token makes them")


def _private(path: Path, group: str, name: str) -> Iterator[Finding]:
    try:
        refuse_unsafe(path, path.lstat())
    except FileNotFoundError:
        yield absent(group, name, f"{path} is not there")
    except MnedgeError as error:
        yield broken(group, name, error.message, error.hint)
    else:
        yield ok(group, name, f"{path}: only its owner can read it")


def token_findings(config: Config) -> Iterator[Finding]:
    """Look at how tokens are made and judged."""
    soul = config.soul
    ttl_s, rotate_h = soul.policies.token_ttl, soul.jwt.rotate_hours
    told = f"live {as_duration(ttl_s)}, keys rotate every {rotate_h:g} h"
    if ttl_s > _DAY_S:
        mend = "set soul.policies.tokenTTL: 1h; a stolen token is good until it ends"
        yield warning("tokens", "lifetime", told, mend)
    else:
        yield ok("tokens", "lifetime", told)
    audience = soul.jwt.audience or f"mnedge:{config.node}"
    yield ok("tokens", "for", f"{audience}, issued by {soul.jwt.issuer}")
    if wall_clock() < PLAUSIBLE_AT:
        yield warning("tokens", "clock", "wrong date: all tokens are refused", "set the clock")
    prometheus = config.trace.metrics.prometheus
    if prometheus.scrape and prometheus.auth == "none" and config.relay.listen.http:
        mend = "set trace.metrics.prometheus.auth: read"
        yield warning("tokens", prometheus.path, "may be read without a token", mend)


def limit_findings(config: Config) -> Iterator[Finding]:
    """Look at the rate limit, the filter and the bounds of a request."""
    rate, limits = config.relay.rate_limit, config.relay.limits
    told = f"{rate.requests_per_second:g} requests per second, bursts of {rate.burst}"
    if not 0 < rate.requests_per_second <= _MANY_REQUESTS:
        yield warning("limits", "rate", "no real limit", "set relay.rateLimit.requestsPerSecond")
    elif {"token", "address", "cookie"} & set(rate.exempt):
        found = f"{told}; but {', '.join(rate.exempt)} have none"
        yield warning("limits", "rate", found, "set relay.rateLimit.exempt: [unix]")
    else:
        yield ok("limits", "rate", f"{told}, for each caller; none for: {', '.join(rate.exempt)}")
    yield ok(
        "limits",
        "request",
        f"body {as_size(limits.max_body)}, headers {as_size(limits.header_bytes)}, arrives within"
        f" {as_duration(limits.request_timeout)}, {limits.max_connections} connections",
    )
    waf = config.relay.security.waf
    if waf == "enabled":
        yield ok("limits", "filter", "malformed requests and signatures of attacks are refused")
    else:
        found = (
            f"signatures of attacks are {'only logged' if waf == 'detect' else 'not looked for'}"
        )
        yield warning("limits", "filter", found, "set relay.security.waf: enabled")


def audit_findings(config: Config) -> Iterator[Finding]:
    """Look at the record of changes."""
    folder = config.data_dir / "audit"
    if not os.access(folder, os.R_OK):
        yield absent("audit", "record", "none yet" if not folder.exists() else "not readable")
        return
    verdict = verified(folder)
    if verdict.good:
        yield ok("audit", "record", f"{counted(verdict.records, 'record')}, as they were written")
    else:
        found = f"record {verdict.broken_seq}: {verdict.why}"
        yield broken("audit", "record", found, "compare it with your last export")
