"""Archives that strangers made."""

import gzip
import io
import os
import random
import stat
import tarfile
import zipfile

import pytest

from mnedge.bundle.archive import (
    ArchiveInvalidError,
    ArchiveUnsafeError,
    Limits,
    is_archive,
    unpack,
)


def tar_of(*members, mode="w:gz"):
    blob = io.BytesIO()
    with tarfile.open(fileobj=blob, mode=mode) as tar:
        for name, content, changes in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            for key, value in changes.items():
                setattr(entry, key, value)
            tar.addfile(entry, io.BytesIO(content))
    return blob.getvalue()


def plain(name, content=b"x", **changes):
    return (name, content, changes)


def zip_of(*members, compression=zipfile.ZIP_DEFLATED):
    blob = io.BytesIO()
    with zipfile.ZipFile(blob, "w", compression) as archive:
        for name, content, attributes in members:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = attributes << 16
            entry.compress_type = compression
            archive.writestr(entry, content)
    return blob.getvalue()


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def refused(blob, target, error=ArchiveUnsafeError, **limits):
    with pytest.raises(error) as caught:
        unpack(blob, target, Limits(**limits))
    assert not target.exists()
    assert list(target.parent.iterdir()) == []
    assert caught.value.hint
    return caught.value.message


@pytest.fixture
def target(tmp_path):
    return tmp_path / "inside" / "bundle"


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_unpacks_to_plain_files(target, mode):
    unpack(
        tar_of(
            plain("./manifest.json", b"{}"),
            plain("payloads", b"", type=tarfile.DIRTYPE),
            plain("payloads/run.sh", b"#!", mode=0o4755),
            plain("payloads/a/b/deep.txt", b"d" * 100_000),
            mode=mode,
        ),
        target,
    )
    assert set(tree(target)) == {"manifest.json", "payloads/run.sh", "payloads/a/b/deep.txt"}
    assert stat.S_IMODE((target / "payloads/run.sh").stat().st_mode) == 0o755
    assert stat.S_IMODE((target / "manifest.json").stat().st_mode) == 0o644


def test_a_zip_unpacks_to_plain_files(target):
    unpack(
        zip_of(
            ("manifest.json", b"{}", 0),
            ("payloads/", b"", stat.S_IFDIR | 0o755),
            ("payloads/run.sh", b"#!", stat.S_IFREG | 0o755),
        ),
        target,
    )
    assert tree(target) == {"manifest.json": b"{}", "payloads/run.sh": b"#!"}
    assert os.access(target / "payloads/run.sh", os.X_OK)


def test_what_is_there_already_stays(target):
    unpack(tar_of(plain("a", b"1")), target)
    unpack(tar_of(plain("a", b"2")), target)
    assert tree(target) == {"a": b"1"}


def test_an_archive_is_read_from_a_file_too(target, tmp_path):
    file = tmp_path / "bundle.tgz"
    file.write_bytes(tar_of(plain("a")))
    unpack(file, target)
    assert tree(target) == {"a": b"x"}


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "a/../../b", "a\\b", "C:/a", "a\nb"])
@pytest.mark.parametrize("pack", ["tar", "zip"])
def test_a_name_that_leaves_the_folder_is_refused(target, name, pack):
    blob = tar_of(plain(name)) if pack == "tar" else zip_of((name, b"x", 0))
    assert f"the name {name!r}" in refused(blob, target)


@pytest.mark.parametrize(
    "kind, link, says",
    [
        (tarfile.SYMTYPE, "/etc/passwd", "is a symbolic link to '/etc/passwd'"),
        (tarfile.SYMTYPE, "b", "is a symbolic link to 'b'"),
        (tarfile.LNKTYPE, "../b", "is a hard link to '../b'"),
        (tarfile.CHRTYPE, "", "neither a file nor a folder"),
        (tarfile.FIFOTYPE, "", "neither a file nor a folder"),
        (tarfile.BLKTYPE, "", "neither a file nor a folder"),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(target, kind, link, says):
    blob = tar_of(plain("b"), plain("a", b"", type=kind, linkname=link))
    assert says in refused(blob, target)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_in_a_zip_are_refused(target, kind):
    assert "is a link or a device" in refused(zip_of(("a", b"/etc", kind | 0o777)), target)


def test_a_sparse_file_is_refused(target):
    blob = tar_of(plain("a", b"x" * 512, type=tarfile.GNUTYPE_SPARSE))
    refused(blob, target, (ArchiveUnsafeError, ArchiveInvalidError))


@pytest.mark.parametrize("second", ["a", "./a", "a/"])
def test_a_name_that_stands_twice_is_refused(target, second):
    blob = tar_of(plain("a"), plain(second))
    assert "stands in it twice" in refused(blob, target)


def test_a_name_that_stands_twice_in_a_zip_is_refused(target, recwarn):
    blob = zip_of(("a", b"1", 0), ("a", b"2", 0))
    recwarn.clear()
    assert "stands in it twice" in refused(blob, target)


def test_a_file_that_is_a_folder_too_is_refused(target):
    assert "both a file and a folder" in refused(tar_of(plain("a"), plain("a/b")), target)
    assert "twice" in refused(tar_of(plain("a/b"), plain("a")), target)


def test_a_bomb_of_zeros_is_refused(target):
    zeros = b"\0" * (32 << 20)
    assert "200 times its size" in refused(zip_of(("a", zeros, 0)), target)
    assert "200 times its size" in refused(tar_of(plain("a", zeros)), target)


def test_more_bytes_than_the_limit_are_refused(target):
    blob = tar_of(plain("a", b"x" * 600), plain("b", b"y" * 600))
    assert "more than 1000 bytes" in refused(blob, target, total_bytes=1000)


def test_more_files_than_the_limit_are_refused(target):
    blob = tar_of(*(plain(f"{number}/x") for number in range(10)))
    assert "more than 10 files" in refused(blob, target, files=10)


def test_folders_without_end_are_refused(target):
    assert "deeper than 64 folders" in refused(tar_of(plain("a/" * 70 + "b")), target)


def test_a_header_that_asks_for_gigabytes_is_refused(target):
    entry = tarfile.TarInfo("x")
    entry.type = tarfile.XHDTYPE
    entry.size = 1 << 30
    blob = gzip.compress(entry.tobuf() + b"\0" * (4 << 20))
    assert "a header is larger" in refused(blob, target)


def test_a_zip_that_lies_about_its_sizes_is_refused(target):
    blob = bytearray(zip_of(("a", b"x" * 5000, 0)))
    central = blob.rindex(b"PK\x01\x02")
    blob[central + 24 : central + 28] = (100).to_bytes(4, "little")
    assert "CRC" in refused(bytes(blob), target, ArchiveInvalidError)
    blob[central + 24 : central + 28] = (9000).to_bytes(4, "little")
    assert "lies about its size" in refused(bytes(blob), target)


def test_a_zip_that_is_encrypted_is_refused(target):
    blob = bytearray(zip_of(("a", b"x", 0)))
    blob[blob.rindex(b"PK\x01\x02") + 8] |= 1
    assert "encrypted" in refused(bytes(blob), target)


@pytest.mark.parametrize(
    "blob",
    [b"", b"PK", b"PK\x03\x04" + b"x" * 50, b"\x1f\x8b", b"\x1f\x8bxxxxxxx", b"no archive" * 100],
)
def test_what_is_no_archive_is_refused(target, blob):
    assert "is no archive that can be read" in refused(blob, target, ArchiveInvalidError)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_that_is_cut_off_is_refused(target, mode):
    blob = tar_of(plain("a", b"x" * 3000), plain("b", os.urandom(9000)), mode=mode)
    refused(blob[:9000], target, ArchiveInvalidError)


def test_a_tar_that_is_broken_in_the_middle_is_refused(target):
    blob = bytearray(tar_of(plain("a"), plain("b"), plain("c"), mode="w"))
    blob[1024] ^= 0xFF
    assert "broken after 1 files" in refused(bytes(blob), target, ArchiveInvalidError)


def test_whatever_is_flipped_in_an_archive_nothing_worse_than_a_refusal_happens(tmp_path):
    blobs = [
        tar_of(plain("manifest.json", b"{}"), plain("payloads/a", b"x" * 50), mode="w"),
        tar_of(plain("manifest.json", b"{}"), plain("payloads/a", b"x" * 50)),
        zip_of(("manifest.json", b"{}", 0), ("payloads/a", b"x" * 50, 0)),
    ]
    rng = random.Random(20260701)
    for number in range(600):
        blob = bytearray(rng.choice(blobs))
        for _ in range(rng.choice((1, 1, 3))):
            blob[rng.randrange(min(len(blob), 2000))] = rng.randrange(256)
        target = tmp_path / str(number)
        try:
            unpack(bytes(blob), target)
        except (ArchiveUnsafeError, ArchiveInvalidError):
            assert not target.exists()
    names = {path.name for path in tmp_path.iterdir()}
    assert all(name.isdigit() for name in names)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.TGZ", "a.tar", "a.zip"])
def test_an_archive_is_known_by_its_name(tmp_path, name):
    assert is_archive(tmp_path / name)
    assert not is_archive(tmp_path / (name + ".txt"))
