"""The rows of a journal: what their CRC covers, and that looking at the end of a job is cheap."""

import sqlite3

import pytest

from mnedge.ports import Epoch
from mnedge.store.journal_rows import BITS, StaleEpochError, head_of, owned, rows_of, written
from mnedge.store.schema import database_path, open_database


@pytest.fixture
def connection(tmp_path):
    connection = open_database(database_path(str(tmp_path)), "FULL")
    yield connection
    connection.close()


def test_the_crc_covers_job_number_and_content():
    def crc(job, seq, content):
        return rows_of(1, job, seq, [content])[0][1]

    assert crc("a", 1, b"x") == crc("a", 1, b"x")
    assert len({crc("a", 1, b"x"), crc("b", 1, b"x"), crc("a", 2, b"x"), crc("a", 1, b"y")}) == 4


def test_a_row_is_found_by_journal_and_number():
    assert [row[0] for row in rows_of(3, "a", 7, [b"x", b"y"])] == [
        (3 << BITS) + 7,
        (3 << BITS) + 8,
    ]


def test_a_job_without_a_journal_stands_at_nothing(connection):
    assert head_of(connection, "job") == (0, Epoch(0, 0), 0, 0)


def test_the_journal_remembers_the_newest_epoch_that_wrote(connection):
    number = written(connection, "job", owned(connection, "job", Epoch(0, 3)), Epoch(0, 3))
    assert head_of(connection, "job") == (number, Epoch(0, 3), 0, 0)
    with pytest.raises(StaleEpochError) as refused:
        owned(connection, "job", Epoch(0, 2))
    assert refused.value.details == {"job_id": "job", "epoch": [0, 2], "newest": [0, 3]}
    assert written(connection, "job", owned(connection, "job", Epoch(1, 0)), Epoch(1, 0)) == number
    assert head_of(connection, "job").epoch == Epoch(1, 0)


def test_the_last_number_is_found_without_reading_the_facts(connection):
    connection.execute("BEGIN")
    for job in ("a", "b"):
        number = written(connection, job, head_of(connection, job), Epoch(0, 1))
        connection.executemany(
            "INSERT INTO facts VALUES (?, ?, ?)", rows_of(number, job, 1, [b"x" * 100] * 20_000)
        )
    connection.execute("COMMIT")
    assert head_of(connection, "a").last_seq == 20_000
    steps = 0

    def count():
        nonlocal steps
        steps += 1

    connection.set_progress_handler(count, 1)
    head_of(connection, "a")
    assert steps < 100


def test_a_number_of_a_journal_is_never_given_twice(connection):
    first = written(connection, "a", head_of(connection, "a"), Epoch(0, 1))
    connection.execute("DELETE FROM journals")
    assert written(connection, "b", head_of(connection, "b"), Epoch(0, 1)) > first


def test_the_same_number_cannot_be_written_twice(connection):
    rows = rows_of(1, "a", 1, [b"x"])
    connection.executemany("INSERT INTO facts VALUES (?, ?, ?)", rows)
    with pytest.raises(sqlite3.IntegrityError):
        connection.executemany("INSERT INTO facts VALUES (?, ?, ?)", rows)
