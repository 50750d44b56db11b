"""A store on the virtual clock's terms: real SQLite, no threads, and an eye on its file."""

import sqlite3
from contextlib import contextmanager

import pytest

from mnedge.store.schema import database_path
from mnedge.store.sqlite import SqliteStore


@pytest.fixture
async def inline_store(tmp_path, nursery):
    store = SqliteStore(tmp_path / "data", inline=True)
    await nursery.start(store.run)
    return store


@pytest.fixture
def database(tmp_path):
    """Edit the database behind the store's back."""

    @contextmanager
    def edit():
        connection = sqlite3.connect(database_path(str(tmp_path / "data")), isolation_level=None)
        try:
            yield connection
        finally:
            connection.close()

    return edit
