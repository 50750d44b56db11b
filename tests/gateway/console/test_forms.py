import pytest

from mnedge.gateway.console.forms import MOST_FIELDS, FormInvalidError, multipart

HEAD = '--B\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n'


def body(*pieces: bytes) -> bytes:
    return b"".join(pieces) + b"--B--\r\n"


def piece(name: str, content: bytes, file: str = "") -> bytes:
    named = f'; filename="{file}"\r\nContent-Type: application/zip' if file else ""
    return HEAD.format(name, named).encode() + content + b"\r\n"


def test_fields_and_files_come_apart_byte_for_byte():
    content = bytes(range(256)) + b"\r\n--Bnot\r\n--\r\n"
    form = multipart(
        body(piece("csrf", b"abc"), piece("bundle", content, 'a"b.zip'.replace('"', '\\"'))),
        " boundary=B",
    )
    assert form.text("csrf") == "abc"
    assert form.files["bundle"].name == 'a"b.zip'
    assert form.files["bundle"].content[:256] == bytes(range(256))


def test_a_file_that_was_not_chosen_is_not_there():
    empty = b'--B\r\nContent-Disposition: form-data; name="bundle"; filename=""\r\n\r\n\r\n'
    form = multipart(body(empty), "boundary=B")
    assert form.files == {}
    assert form.fields == {}


@pytest.mark.parametrize(
    "content,parameters",
    [
        (body(piece("a", b"b")), ""),
        (piece("a", b"b"), "boundary=B"),
        (b"--B\r\n\r\nno name\r\n--B--", "boundary=B"),
        (b"", "boundary=B"),
        (body(*[piece(f"f{n}", b"") for n in range(MOST_FIELDS + 1)]), "boundary=B"),
    ],
)
def test_what_is_no_form_is_refused(content, parameters):
    with pytest.raises(FormInvalidError):
        multipart(content, parameters)
