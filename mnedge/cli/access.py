"""What `token` and `audit` do: a daemon is asked for tokens if one answers; else the files are."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import msgspec

from mnedge.cli.reach import config_of, daemon_answers, line, refuse_host
from mnedge.cli.screen import Screen
from mnedge.cli.show import BAD, Cell, ago, columns, counted, moment
from mnedge.cli.verbs import Asked
from mnedge.config.settings import Config
from mnedge.config.written import seconds
from mnedge.daemon.clock import wall_clock
from mnedge.daemon.store import opened_store
from mnedge.errors import NotAllowedError
from mnedge.identity.audit import AuditLog
from mnedge.identity.audit_file import AuditRecord, as_text, files_of, records_in, verified
from mnedge.identity.tokens import Issued, TokenRecord, TokenRequestError, Tokens
from mnedge.model.access import Principal, Scope
from mnedge.model.amounts import duration
from mnedge.part import running

_STYLES = {"allow": "green", "deny": "bold red", "error": "yellow"}


class AuditClosedError(NotAllowedError):
    """The record is not for this user."""

    code = "audit.closed"


async def create_token(asked: Asked, name: str, scope: str, ttl: str | None) -> None:
    """Make a token and print it."""
    ttl_s = None if ttl is None else seconds(ttl)
    if ttl is not None and ttl_s is None:
        raise TokenRequestError(f"--ttl is {ttl!r}", hint="write 15m, 1h or a number of seconds")
    if daemon_answers(asked):
        body = {"name": name, "scope": scope} | ({} if ttl_s is None else {"ttl_s": ttl_s})
        async with line(asked, "makes tokens") as link:
            issued = msgspec.convert(await link.post("/tokens", body), Issued)
    else:
        async with _alone(config_of(asked)) as (tokens, audit, who):
            audit.refuse_unless_writable()
            issued = await tokens.issue(name, Scope(scope), ttl_s, by=who.name)
            await audit.record(who, "token.create", f"token/{issued.token_id}", "allow", scope)
    screen = Screen(asked)
    if not asked.human:
        screen.document(issued)
        return
    # The text alone on stdout, so that a script can take it; the rest for people.
    screen.stream.write(issued.token + "\n")
    if screen.stream.isatty():
        screen.hint(f"{issued.token_id}, {scope}, until {moment(issued.expires_at)}")
        screen.hint("send it as  Authorization: Bearer …")


async def list_tokens(asked: Asked) -> None:
    """Print the tokens that have not ended."""
    if daemon_answers(asked):
        async with line(asked, "lists tokens") as link:
            records = msgspec.convert(await link.every("/tokens"), list[TokenRecord])
    else:
        async with _alone(config_of(asked)) as (tokens, _, _):
            records = list(await tokens.list())
    screen = Screen(asked)
    if not asked.human:
        screen.records(records)
        return
    if not records:
        screen.say("no tokens")
        return
    now = wall_clock()
    head = [Cell(word, "dim") for word in ("id", "name", "scope", "ends", "")]
    rows = [
        [
            Cell(one.token_id),
            Cell(one.name, "bold"),
            Cell(str(one.scope)),
            Cell(f"in {duration(one.expires_at - now)}"),
            Cell("taken back" if one.revoked else "", "red"),
        ]
        for one in records
    ]
    screen.say(*columns([head, *rows], width=screen.width))


async def revoke_token(asked: Asked, token_id: str) -> None:
    """Take a token back."""
    if daemon_answers(asked):
        async with line(asked, "takes tokens back") as link:
            gone = await link.delete(f"/tokens/{quote(token_id, safe='')}")
            record = msgspec.convert(gone, TokenRecord)
    else:
        async with _alone(config_of(asked)) as (tokens, audit, who):
            audit.refuse_unless_writable()
            record = await tokens.revoke(token_id)
            await audit.record(who, "token.revoke", f"token/{token_id}", "allow")
    screen = Screen(asked)
    if asked.human:
        screen.good(f"{record.token_id} of {record.name} is refused from now on")
    else:
        screen.document(record)


def list_records(asked: Asked, limit: int, actor: str | None, action: str | None) -> None:
    """Print the last audit records, the newest first."""
    found: list[AuditRecord] = []
    for file in reversed(files_of(_folder(asked))):
        kept = [
            record
            for record in records_in([file])
            if isinstance(record, AuditRecord)
            and actor in (None, record.actor)
            and record.action.startswith(action or "")
        ]
        found.extend(reversed(kept))
        if len(found) >= limit:
            break
    found = found[:limit]
    screen = Screen(asked)
    if not asked.human:
        screen.records([as_text(record) for record in found])
        return
    if not found:
        screen.say("no records")
        return
    now = wall_clock()
    rows = [
        [
            Cell(str(one.seq), "dim"),
            Cell(ago(one.at, now), "dim"),
            Cell(one.actor, "bold"),
            Cell(one.action),
            Cell(one.object),
            Cell(one.result, _STYLES.get(one.result, "")),
            Cell(one.reason, "dim"),
        ]
        for one in found
    ]
    screen.say(*columns(rows, width=screen.width))


def verify_records(asked: Asked) -> int:
    """Check the whole record; return the exit code."""
    verdict = verified(_folder(asked))
    screen = Screen(asked)
    if not asked.human:
        screen.document(msgspec.to_builtins(verdict) | {"good": verdict.good})
    elif not verdict.good:
        screen.mark(BAD, "bold red", f"record {verdict.broken_seq}: {verdict.why}")
        screen.hint(f"{counted(verdict.records, 'record')} before it are as they were written")
    elif verdict.records:
        told = f"{counted(verdict.records, 'record')}, {verdict.first_seq} to {verdict.last_seq}"
        screen.good(f"{told}: as they were written")
        if verdict.torn:
            screen.note(
                "the last line was cut off while it was written; the next record mends that"
            )
        screen.hint(f"head {verdict.head}; keep it elsewhere to notice a cut-off end")
    else:
        screen.say("no records")
    return 0 if verdict.good else 1


def export_records(asked: Asked, after: int) -> None:
    """Print every record as it stands on disk."""
    screen = Screen(asked._replace(output="ndjson"))
    for record in records_in(files_of(_folder(asked))):
        if isinstance(record, AuditRecord) and record.seq > after:
            screen.document(as_text(record))


def _folder(asked: Asked) -> Path:
    refuse_host(asked, "audit")
    folder = config_of(asked).data_dir / "audit"
    try:
        os.listdir(folder)
    except FileNotFoundError:
        pass  # nobody changed anything yet
    except PermissionError as error:
        # A pattern finds nothing in a folder that is closed, and says nothing.
        raise AuditClosedError(
            f"{folder} is for the user of the node and for root", hint="run it again with sudo"
        ) from error
    return folder


@asynccontextmanager
async def _alone(config: Config) -> AsyncIterator[tuple[Tokens, AuditLog, Principal]]:
    """Have tokens and audit of a data directory that no daemon serves."""
    who = Principal(name=f"uid:{os.getuid()}", scope=Scope.ADMIN, kind="cli", address="local")
    async with (
        opened_store(config) as store,
        running(AuditLog(config.data_dir, config.soul.audit, wall_clock)) as audit,
    ):
        yield Tokens(store.table, config.data_dir, config.soul, config.node, wall_clock), audit, who
