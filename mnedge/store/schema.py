"""The database file: how it is opened, and how an older one is brought up to date."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from mnedge import __version__
from mnedge.errors import UsageError
from mnedge.store.condition import DatabaseForeignError, primary_code
from mnedge.store.trial import read_mark

FILE = "mnedge.db"
APPLICATION_ID = 0x6D6E6564
"""`mned`, so that another program's database is recognised as such."""
BUSY_S = 10.0
"""How long one process waits for the write of another."""
BACKSTOP_PAGES = 16_000
"""SQLite checkpoints by itself from here on, should nobody else have done it before."""

Connect = Callable[[str], sqlite3.Connection]

# One script per version, applied in order; never changed once released.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE migrations (version INTEGER PRIMARY KEY, program TEXT NOT NULL)",
        "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
        "INSERT INTO counters VALUES ('change', 0), ('claim', 0), ('probe', 0)",
        # Small records. `change` orders all writes of the table, so that a watcher finds the new.
        """CREATE TABLE rows (
            key TEXT PRIMARY KEY,
            value BLOB NOT NULL,
            version INTEGER NOT NULL,
            change INTEGER NOT NULL
        ) WITHOUT ROWID""",
        "CREATE INDEX rows_by_change ON rows (change)",
        # A free claim keeps its row: epochs never go back.
        """CREATE TABLE claims (
            key TEXT PRIMARY KEY,
            holder TEXT NOT NULL,
            failover INTEGER NOT NULL,
            counter INTEGER NOT NULL
        ) WITHOUT ROWID""",
        # `failover, counter`: the newest epoch that wrote. Facts up to `compacted` are forgotten.
        """CREATE TABLE journals (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            job_id TEXT NOT NULL UNIQUE,
            failover INTEGER NOT NULL,
            counter INTEGER NOT NULL,
            compacted INTEGER NOT NULL DEFAULT 0
        )""",
        # id = journal number << 36 | fact number: one tree, facts of a job side by side.
        "CREATE TABLE facts (id INTEGER PRIMARY KEY, crc INTEGER NOT NULL, body BLOB NOT NULL)",
        """CREATE TABLE snapshots (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            journal INTEGER NOT NULL,
            seq INTEGER NOT NULL,
            crc INTEGER NOT NULL,
            complete INTEGER NOT NULL
        )""",
        "CREATE INDEX snapshots_by_journal ON snapshots (journal, seq)",
        """CREATE TABLE snapshot_slices (
            snapshot INTEGER NOT NULL,
            slice INTEGER NOT NULL,
            body BLOB NOT NULL,
            PRIMARY KEY (snapshot, slice)
        )""",
    ),
)
NEWEST = len(MIGRATIONS)


class SchemaNewerError(UsageError):
    """The database was written by a newer mnedge; this one would misread it."""

    code = "store.schema_newer"


def plain_connect(path: str) -> sqlite3.Connection:
    """Return a connection in autocommit mode, free to move between threads."""
    return sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)


def open_database(
    path: str, durability: str, connect: Connect = plain_connect
) -> sqlite3.Connection:
    """Return a connection that may write, to a database of the newest schema.

    While an update is on trial (`store.trial`) the schema stays what the old program can read.
    Raises: SchemaNewerError, DatabaseForeignError; sqlite3.Error for what is wrong with the file.
    """
    with suppress(FileExistsError):  # SQLite gives its other files the rights of this one
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    connection = connect(path)
    try:
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_S * 1000)}")
        _refuse_foreign(connection, path)
        _use_wal(connection)
        connection.execute(f"PRAGMA synchronous = {durability}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {BACKSTOP_PAGES}")
        connection.execute("PRAGMA journal_size_limit = 33554432")
        connection.execute("PRAGMA foreign_keys = OFF")
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: str, connect: Connect = plain_connect) -> sqlite3.Connection:
    """Return a connection that only reads."""
    connection = connect(path)
    connection.execute(f"PRAGMA busy_timeout = {int(BUSY_S * 1000)}")
    connection.execute("PRAGMA query_only = ON")
    return connection


def is_whole(connection: sqlite3.Connection) -> str | None:
    """Return None if SQLite finds nothing wrong with the file, else its first complaint."""
    (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    return None if said == "ok" else str(said)


def _refuse_foreign(connection: sqlite3.Connection, path: str) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (application or schema or tables):
        raise DatabaseForeignError(
            f"{path} is a database of another program",
            hint="choose another data directory with --data-dir, or move that file away",
            details={"path": path},
        )
    _refuse_newer(schema, path)


def _refuse_newer(schema: int, path: str) -> None:
    if schema > NEWEST:
        raise SchemaNewerError(
            f"{path} has schema {schema}; this mnedge knows schemas up to {NEWEST}",
            hint="run the newer mnedge that wrote it, or restore a backup made by this one",
            details={"path": path, "schema": schema, "newest_known": NEWEST},
        )


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL; two processes that create the file at once get in each other's way briefly."""
    until = time.monotonic() + BUSY_S
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode == "wal":
                return
            raise _not_switched(mode)
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            threading.Event().wait(0.02)


def _not_switched(mode: str) -> sqlite3.OperationalError:
    """Return the error that SQLite keeps to itself when the disk refuses the switch."""
    error = sqlite3.OperationalError(f"the journal mode stays {mode}")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    return error


def _migrate(connection: sqlite3.Connection, path: str) -> None:
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if schema == _wanted(schema, path):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        (schema,) = connection.execute("PRAGMA user_version").fetchone()
        _refuse_newer(schema, path)
        wanted = _wanted(schema, path)
        for number, script in enumerate(MIGRATIONS[schema:wanted], schema + 1):
            for statement in script:
                connection.execute(statement)
            writer = f"mnedge {__version__}"
            connection.execute("INSERT INTO migrations VALUES (?, ?)", (number, writer))
        connection.execute(f"PRAGMA user_version = {wanted}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _wanted(schema: int, path: str) -> int:
    """Return the version that the database should have; never one below that which it has."""
    mark = read_mark(os.path.dirname(path))
    return NEWEST if mark is None else min(NEWEST, max(schema, mark.schema, 1))


def database_path(data_dir: str) -> str:
    """Return where the database of a data directory is."""
    return os.path.join(data_dir, FILE)
