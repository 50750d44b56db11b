"""Where jobs begin: the catalogue, a blueprint with a form for its inputs, one's own bundle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trio
from starlette.requests import Request
from starlette.responses import Response

from mnedge.bundle.catalogue import listed
from mnedge.bundle.load import Bundle, open_bundle
from mnedge.errors import UsageError
from mnedge.gateway.console import api
from mnedge.gateway.console.forms import Form, proved_form
from mnedge.gateway.console.job_actions import job_id_of, page_of
from mnedge.gateway.console.pictures import Picture, pictures
from mnedge.gateway.console.prose import html_of
from mnedge.gateway.console.rendering import backend_of, moved, page

_INPUT = "input."
_ABOUT = (
    ("Solves", "problem_solved"),
    ("For", "target_user"),
    ("Makes", "output"),
    ("Can become", "customizable_for"),
)


_SEARCHED = ("blueprint_id", "name", "job_name", "category", "description")


class FieldInvalidError(UsageError):
    """A field of a form does not hold what it should."""

    code = "console.field_invalid"


async def blueprints(request: Request) -> Response:
    """The catalogue."""
    q = request.query_params.get("q", "").strip()
    answer = await api.get(request, "/blueprints", limit=500)
    entries = [
        entry
        for entry in answer["data"]
        if q.lower() in " ".join(str(entry.get(name, "")) for name in _SEARCHED).lower()
    ]
    return await page(request, "blueprints.html", place="/blueprints", q=q, entries=entries)


async def blueprint(request: Request) -> Response:
    """One blueprint, its graphs as before any run, and a form."""
    return await _blueprint(request, Form())


async def _blueprint(request: Request, form: Form, refusal: api.Refusal | None = None) -> Response:
    path = api.at("blueprints", request.path_params["blueprint_id"])
    answer = await api.get(request, path)
    entry = answer["blueprint"]
    folder = await trio.to_thread.run_sync(
        _folder_of, entry["blueprint_id"], backend_of(request).config.environ
    )
    shown = await trio.to_thread.run_sync(_opened, folder)
    given = {name: form.text(name) for name in ("more", "config", "run_id")}
    fields = [
        {**field, "text": form.fields.get(_INPUT + field["name"], field["text"])}
        for field in shown["fields"]
    ]
    return await page(
        request,
        "blueprint.html",
        place="/blueprints",
        status=200 if refusal is None else refusal.status,
        refusal=refusal,
        entry=entry,
        given=given,
        **{**shown, "fields": fields},
    )


def _folder_of(blueprint_id: str, environ: Mapping[str, str]) -> Path:
    return next(one.folder for one in listed(environ) if one.blueprint_id == blueprint_id)


def _opened(folder: Path) -> dict[str, Any]:
    """Return what the page shows of a bundle; runs no code of it."""
    with open_bundle(folder, run_code=False) as bundle:
        drawn: list[Picture] = [] if bundle.spec is None else pictures(bundle.spec)
        readme = bundle.files.read("README.md")
        metadata = bundle.manifest.get("metadata")
        told = metadata if isinstance(metadata, dict) else {}
        about = [(name, str(told[key])) for name, key in _ABOUT if told.get(key)]
        features = told.get("runtime_features")
        if isinstance(features, list) and features:
            about.append(("Shows", ", ".join(map(str, features))))
        return {
            "fields": fields_of(bundle),
            "runnable": not bundle.errors,
            "problems": [
                {"rule": one.rule, "message": one.message, "hint": one.help}
                for one in bundle.problems[:50]
            ],
            "pictures": drawn,
            "about": [*about, ("Generation", str(bundle.generation)), ("Folder", str(folder))],
            "readme": html_of(readme.decode(errors="replace"), below=2) if readme else "",
        }


def fields_of(bundle: Bundle) -> list[dict[str, Any]]:
    """Return the inputs that the bundle has or declares, as fields of a form."""
    declared = _declared(bundle.manifest)
    names = dict.fromkeys([*declared, *bundle.inputs.payload])
    found = []
    for name in names:
        told = declared.get(name, {})
        value = bundle.inputs.payload.get(name, told.get("example"))
        text = field_text(value)
        found.append(
            {
                "name": name,
                "text": text,
                "long": "\n" in text or len(text) > 60,
                "required": bool(told.get("required")),
                "description": str(told.get("description") or ""),
            }
        )
    return found


def _declared(manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    contract, metadata = manifest.get("contract"), manifest.get("metadata")
    inputs = contract.get("inputs") if isinstance(contract, dict) else None
    found: dict[str, Mapping[str, Any]] = {}
    if isinstance(inputs, dict):
        found |= {str(name): one for name, one in inputs.items() if isinstance(one, dict)}
    more = metadata.get("input_contract") if isinstance(metadata, dict) else None
    listed = more.get("required_inputs") if isinstance(more, dict) else None
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and isinstance(one.get("name"), str):
            found.setdefault(one["name"], {**one, "required": True})
    return found


def field_text(value: Any) -> str:
    """Return a value as people write it into a field."""
    if value is None:
        return ""
    if isinstance(value, str):
        return json.dumps(value) if _means_more(value) else value
    flat = json.dumps(value, ensure_ascii=False)
    return flat if len(flat) <= 60 else json.dumps(value, ensure_ascii=False, indent=2)


def field_value(text: str) -> Any:
    """Return what a field means: JSON if it is some, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _means_more(text: str) -> bool:
    return not isinstance(field_value(text), str) or field_value(text) != text


async def run_blueprint(request: Request) -> Response:
    """Submit a blueprint with what the form says; if it is refused, the form comes back."""
    form = await proved_form(request)
    try:
        body = {"blueprint": request.path_params["blueprint_id"], **given_of(form)}
        made = await api.post(request, "/jobs", body)
    except FieldInvalidError as error:
        return await _blueprint(
            request, form, api.Refusal(status=400, code=error.code, message=error.message)
        )
    except api.Refused as error:
        if error.refusal.status in (401, 403):
            raise
        return await _blueprint(request, form, error.refusal)
    return moved(page_of(job_id_of(made)), "submitted")


def given_of(form: Form) -> dict[str, Any]:
    """Return config and id of the job as a form gives them.

    Inputs become part of the config, where the bundle's rules for them look.
    Raises: FieldInvalidError.
    """
    inputs = {
        name.removeprefix(_INPUT): field_value(text.strip())
        for name, text in form.fields.items()
        if name.startswith(_INPUT) and text.strip()
    } | object_of(form, "more")
    config = object_of(form, "config")
    given: dict[str, Any] = {}
    if inputs:
        own = config.get("inputs")
        section = own if isinstance(own, dict) else {}
        config["inputs"] = {**section, "adapter": "json", "payload": inputs}
    if config:
        given["config"] = config
    if form.text("run_id"):
        given["run_id"] = form.text("run_id")
    return given


def object_of(form: Form, name: str) -> dict[str, Any]:
    """Return the JSON object that a field holds; an empty one for an empty field.

    Raises: FieldInvalidError.
    """
    text = form.text(name)
    try:
        value = json.loads(text) if text else {}
    except ValueError as error:
        raise FieldInvalidError(f"{name!r} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise FieldInvalidError(f"{name!r} must be a JSON object, such as {{}}")
    return value


async def submit_page(request: Request) -> Response:
    """The forms for a bundle of one's own."""
    return await _submit(request, Form())


async def _submit(request: Request, form: Form, refusal: api.Refusal | None = None) -> Response:
    return await page(
        request,
        "submit.html",
        place="/submit",
        status=200 if refusal is None else refusal.status,
        refusal=refusal,
        given={name: form.fields.get(name, "") for name in ("manifest", "inputs")},
    )


async def submit(request: Request) -> Response:
    """Submit a zip or a manifest; if it is refused, the page tells every problem."""
    form = await proved_form(request)
    try:
        made = await _submitted(request, form)
    except FieldInvalidError as error:
        refusal = api.Refusal(status=400, code=error.code, message=error.message)
        return await _submit(request, form, refusal)
    except api.Refused as error:
        if error.refusal.status in (401, 403):
            raise
        return await _submit(request, form, error.refusal)
    return moved(page_of(job_id_of(made)), "submitted")


async def _submitted(request: Request, form: Form) -> Any:
    upload = form.files.get("bundle")
    if upload is not None:
        return await api.call(
            request, "POST", "/jobs", body=upload.content, content_type="application/zip"
        )
    manifest = object_of(form, "manifest")
    if not manifest:
        raise FieldInvalidError("choose a zip, or paste a manifest")
    inputs = object_of(form, "inputs")
    body = {"manifest": manifest, "payloads": {}, **({"inputs": inputs} if inputs else {})}
    return await api.post(request, "/jobs", body)
