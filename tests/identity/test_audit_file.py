"""The audit record on disk: any change of it is named, a torn line is mended."""

import json
import os
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnedge.identity.audit_file import (
    GENESIS,
    AuditFile,
    AuditRecord,
    as_text,
    files_of,
    hash_of,
    parsed,
    records_in,
    verified,
)

START = 1_800_000_000.0


def a_record(action="job.cancel", reason=""):
    return AuditRecord(
        seq=0, at=START, actor="uid:0", action=action, object="job/x", result="allow", reason=reason
    )


def a_file(folder, max_bytes=1 << 20, keep_days=365):
    return AuditFile(folder / "audit", max_bytes=max_bytes, keep_days=keep_days)


def lines_of(folder):
    return [line for path in files_of(folder / "audit") for line in path.read_bytes().splitlines()]


def test_records_are_numbered_and_chained(tmp_path):
    one, two = a_file(tmp_path).append([a_record(), a_record("job.pause")], START)
    assert (one.seq, two.seq) == (1, 2)
    assert one.prev == GENESIS
    assert two.prev == one.hash
    # What the hash covers can be computed with nothing but JSON and SHA-256.
    told = json.loads(lines_of(tmp_path)[0])
    told.pop("hash")
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert sha256(text.encode()).hexdigest() == one.hash == hash_of(one)
    assert as_text(one)["request_id"] == ""


def test_several_processes_write_one_chain(tmp_path):
    files = [a_file(tmp_path) for _ in range(3)]
    for turn in range(12):
        files[turn % 3].append([a_record()], START)
    verdict = verified(tmp_path / "audit")
    assert (verdict.good, verdict.records, verdict.last_seq) == (True, 12, 12)


def test_nobody_else_reads_it(tmp_path):
    a_file(tmp_path).append([a_record()], START)
    [path] = files_of(tmp_path / "audit")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@given(place=st.floats(0, 0.999), bit=st.integers(0, 7))
@settings(max_examples=60)
def test_one_flipped_bit_is_named_by_its_number(tmp_path_factory, place, bit):
    folder = tmp_path_factory.mktemp("audit")
    a_file(folder).append([a_record(reason=f"n {n}") for n in range(5)], START)
    [path] = files_of(folder / "audit")
    content = bytearray(path.read_bytes())
    at = int(place * len(content))
    seq = content[:at].count(b"\n") + 1
    content[at] ^= 1 << bit
    path.write_bytes(content)
    verdict = verified(folder / "audit")
    if at == len(content) - 1:  # the last line feed: as if it had been torn
        assert verdict.torn or verdict.broken_seq == 5
    else:
        assert verdict.broken_seq == seq, verdict


@pytest.mark.parametrize("gone", [1, 3])
def test_a_missing_record_is_named(tmp_path, gone):
    a_file(tmp_path).append([a_record() for _ in range(5)], START)
    [path] = files_of(tmp_path / "audit")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: gone - 1] + lines[gone:]))
    verdict = verified(tmp_path / "audit")
    assert verdict.broken_seq == gone
    assert "missing" in verdict.why
    assert verdict.records == gone - 1


def test_a_record_that_was_written_anew_with_its_own_hash_is_named(tmp_path):
    a_file(tmp_path).append([a_record() for _ in range(3)], START)
    [path] = files_of(tmp_path / "audit")
    records = [parsed(line + b"\n") for line in path.read_bytes().splitlines()]
    forged = msgspec.structs.replace(records[1], actor="uid:0 (really)", hash="")
    records[1] = msgspec.structs.replace(forged, hash=hash_of(forged))
    path.write_bytes(b"".join(msgspec.json.encode(r) + b"\n" for r in records))
    assert verified(tmp_path / "audit").broken_seq == 3


def test_a_torn_line_is_cut_off_and_counted(tmp_path):
    a_file(tmp_path).append([a_record(), a_record()], START)
    [path] = files_of(tmp_path / "audit")
    path.write_bytes(path.read_bytes()[:-20])
    verdict = verified(tmp_path / "audit")
    assert (verdict.good, verdict.torn, verdict.records) == (True, True, 1)
    again = a_file(tmp_path)
    [written] = again.append([a_record()], START)
    assert written.seq == 2
    assert again.mended_bytes > 0
    assert verified(tmp_path / "audit").good


def test_files_rotate_by_size_and_the_oldest_go(tmp_path):
    most = 16 * (64 << 10)
    file = a_file(tmp_path, max_bytes=most)
    for turn in range(400):
        file.append([a_record(reason="x" * 300) for _ in range(10)], START + turn)
    files = files_of(tmp_path / "audit")
    assert 2 < len(files) <= 17
    assert sum(path.stat().st_size for path in files) <= most + (64 << 10)
    verdict = verified(tmp_path / "audit")
    assert verdict.good, verdict
    assert verdict.first_seq is not None
    assert verdict.first_seq > 1
    assert verdict.last_seq == 4000
    # Dropping one more by hand is noticed.
    files[0].unlink()
    assert not verified(tmp_path / "audit").good


def test_old_files_go_by_age(tmp_path):
    file = a_file(tmp_path, max_bytes=1 << 30, keep_days=1)
    file._file_bytes = 1000
    for _ in range(20):
        file.append([a_record(reason="x" * 200)], START)
    for path in files_of(tmp_path / "audit"):
        os.utime(path, (START, START))
    file.append([a_record(reason="y" * 900)], START + 10)
    file.append([a_record()], START + 2 * 86_400)
    left = list(records_in(files_of(tmp_path / "audit")))
    assert len(left) < 20
    assert verified(tmp_path / "audit").good


def test_a_quiet_node_s_files_end_by_age_too(tmp_path):
    file = a_file(tmp_path, keep_days=16)
    file.append([a_record()], START)
    file.append([a_record()], START + 86_399)
    assert len(files_of(tmp_path / "audit")) == 1
    file.append([a_record()], START + 86_401)
    assert len(files_of(tmp_path / "audit")) == 2
    assert verified(tmp_path / "audit").records == 3


def test_what_the_disk_does_not_take_leaves_nothing_behind(tmp_path, monkeypatch):
    file = a_file(tmp_path)
    file.append([a_record()], START)
    real = os.fsync

    def failing(number):
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="no space"):
        file.append([a_record()], START)
    monkeypatch.setattr(os, "fsync", real)
    [written] = file.append([a_record("later")], START)
    assert written.seq == 2
    assert verified(tmp_path / "audit").records == 2
