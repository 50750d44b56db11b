"""What tells two versions of a bundle apart."""

from hashlib import sha256

from mnedge.bundle.files import ListedFiles
from mnedge.bundle.fingerprint import directory_digest, wire_fingerprint


def digest(**contents):
    return directory_digest(ListedFiles([], {k.replace("__", "/"): v for k, v in contents.items()}))


def test_the_digest_is_over_lengths_paths_and_contents_in_path_order():
    whole = b""
    for part in (b"a/b", b"1", b"c", b""):
        whole += len(part).to_bytes(8, "big") + part
    assert digest(c=b"", a__b=b"1") == f"sha256:{sha256(whole).hexdigest()}"


def test_moving_renaming_and_changing_are_all_seen():
    digests = {
        digest(a=b"x", b=b"y"),
        digest(a=b"xb", b=b"y"),
        digest(a=b"y", b=b"x"),
        digest(c=b"x", b=b"y"),
        digest(a__a=b"x", b=b"y"),
        digest(ab=b"xy"),
    }
    assert len(digests) == 6


def test_the_wire_fingerprint_is_over_base_names_of_the_manifest_and_the_payloads():
    files = ListedFiles(
        [],
        {
            "manifest.json": b"{}",
            "README.md": b"no",
            "payloads/b/run.py": b"2",
            "payloads/a.py": b"1",
            "payloads/.hidden": b"no",
            "payloads/.cache/x": b"no",
        },
    )
    assert wire_fingerprint(files) == sha256(b"manifest.json{}a.py1run.py2").hexdigest()


def test_the_wire_fingerprint_needs_no_payloads():
    files = ListedFiles([], {"manifest.json": b"{}"})
    assert wire_fingerprint(files) == sha256(b"manifest.json{}").hexdigest()
