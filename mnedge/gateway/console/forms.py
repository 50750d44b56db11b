"""What a browser sends with a form: fields and files, read whole."""

import re
from urllib.parse import parse_qsl

from msgspec import Struct, field
from starlette.requests import Request

from mnedge.errors import UsageError
from mnedge.gateway.auth import CSRF_FIELD, prove_form

MOST_FIELDS = 200
_PARAMETER = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class FormInvalidError(UsageError):
    """The body is no form that a browser would send."""

    code = "console.form_invalid"


class Upload(Struct, frozen=True):
    """A file that came with a form."""

    name: str
    content: bytes


class Form(Struct, frozen=True, kw_only=True):
    """Fields and files by name; of several with one name, the last."""

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, Upload] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return a field without blanks around it; empty if it did not come."""
        return self.fields.get(name, "").strip()


async def proved_form(request: Request) -> Form:
    """Return the form of a request that came from a page of ours; how large it may be, the server
    says.

    Raises: FormInvalidError, CrossSiteError.
    """
    form = await read_form(request)
    prove_form(request, form.fields.get(CSRF_FIELD))
    return form


async def read_form(request: Request) -> Form:
    """Return the form of a request, whoever sent it.

    Raises: FormInvalidError.
    """
    kind, _, rest = request.headers.get("content-type", "").partition(";")
    body = await request.body()
    if kind.strip().lower() == "multipart/form-data":
        return multipart(body, rest)
    if not body:
        return Form()
    if kind.strip().lower() != "application/x-www-form-urlencoded":
        raise FormInvalidError(
            f"a form cannot come as {kind.strip() or 'nothing in particular'}",
            hint="programs use /api/v1, whose description is /api/v1/openapi.json",
        )
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"
        )
    except ValueError as error:
        raise FormInvalidError(f"the form cannot be read: {error}") from error
    return Form(fields=dict(pairs))


def multipart(body: bytes, parameters: str) -> Form:
    """Return the form that a `multipart/form-data` body holds.

    Raises: FormInvalidError.
    """
    found = re.search(r'boundary="?([^";]{1,200})"?', parameters)
    if found is None:
        raise FormInvalidError("the form names no boundary")
    mark = re.escape(b"\r\n--" + found[1].strip().encode("latin-1", "replace"))
    pieces = re.split(mark + rb"(?=[ \t]*\r\n|--)", b"\r\n" + body)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise FormInvalidError("the form was cut off")
    if len(pieces) > MOST_FIELDS:
        raise FormInvalidError(f"the form has more than {MOST_FIELDS} fields")
    form = Form()
    for piece in pieces[1:-1]:
        head, blank, content = piece.lstrip(b" \t").partition(b"\r\n\r\n")
        named = _named(head.decode(errors="replace"))
        if not blank or "name" not in named:
            raise FormInvalidError("a field of the form has no name")
        if "filename" not in named:
            form.fields[named["name"]] = content.decode(errors="replace")
        elif named["filename"]:
            form.files[named["name"]] = Upload(named["filename"], content)
    return form


def _named(head: str) -> dict[str, str]:
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            found = _PARAMETER.findall(value)
            return {key.lower(): re.sub(r"\\(.)", r"\1", text) for key, text in found}
    return {}
