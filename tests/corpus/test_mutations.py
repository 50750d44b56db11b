"""Whatever is changed in a manifest or a config, the validator has words for it.

A fixed share runs in `make test`; `make soak` goes on for five minutes. A failure names its mutant:
`MNEDGE_MUTANT="<the line>"` runs that one alone.
"""

import json
import os
import random
import time

import msgspec
import pytest

from mnedge.bundle.compiled import ir_document
from mnedge.bundle.files import ListedFiles
from mnedge.bundle.load import open_files, runnable_problems
from mnedge.bundle.problem import Severity
from mnedge.engine.compile import compile_job
from mnedge.model.codec import encode_spec
from tests.bundle import making
from tests.bundle.rules.test_dynamic import children
from tests.corpus import survey
from tests.corpus.mutations import (
    KINDS,
    Mutant,
    Shape,
    changed,
    mutants,
    own_bundles,
    places,
    shape_of,
)

ROOT = survey.HERE.parents[1]
SEED = 20260701
FILES = ("manifest.json", "config/default.json")
SHARE_S, SOAK_S = 25.0, 300.0
SHARE = 2500
HERE = ("host_local", "MirrorNeuron.Runner.HostLocal")


def load(folder):
    """Return names and contents of the files of a bundle, of our own or of the corpus."""
    if folder.is_relative_to(survey.CORPUS):
        return survey.parts_of(folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return list(names), {
        name: path.read_bytes() for name, path in names.items() if name.endswith(".json")
    }


def made(form):
    """Return names and contents of the files of a bundle that is made for the tests of rules."""
    parts = making.good(form)
    if form == "as_dynamic":
        children()(parts)
    contents = parts.contents()
    return list(contents), contents


def made_lowered():
    """Return the same of a lowered one."""
    parts = making.good("as_dynamic")
    parts.manifest = ir_document(parts.opened().spec)
    contents = parts.contents()
    return list(contents), contents


FORMS = ("as_workflow", "as_steps", "as_old_steps", "as_dynamic", "as_source")
BUNDLES = {folder.name: load(folder) for folder in [*own_bundles(ROOT), *survey.folders()]}
BUNDLES |= {f"made {form}": made(form) for form in FORMS}
BUNDLES["made lowered"] = made_lowered()
DOCUMENTS = {
    (name, file): json.loads(contents[file])
    for name, (_, contents) in BUNDLES.items()
    for file in FILES
}


def survives(mutant: Mutant) -> None:
    """Open the changed bundle, and do all with it that is done before a job starts."""
    names, contents = BUNDLES[mutant.bundle]
    content = changed(DOCUMENTS[mutant.bundle, mutant.file], mutant)
    bundle = open_files(
        ListedFiles(names, {**contents, mutant.file: content}),
        label=mutant.bundle,
        root=ROOT,
        expected_id="river_gauge" if mutant.bundle.startswith("made") else mutant.bundle,
        environ={},
        run_code=False,
    )
    problems = [*bundle.problems, *runnable_problems(bundle, HERE)]
    for problem in problems:
        assert problem.message
        assert problem.help
        assert str(problem)
    msgspec.json.encode([problem.record() for problem in problems])
    assert (bundle.spec is None) == any(
        problem.severity is Severity.ERROR for problem in bundle.problems
    )
    if bundle.spec is not None and not bundle.subject.unchecked:
        spec = bundle.spec_for("run-1", "/runs")
        encode_spec(spec)
        compile_job(spec)
        json.dumps(ir_document(spec))


def told(mutant: Mutant) -> None:
    """As `survives`, and names the mutant if it does not."""
    try:
        survives(mutant)
    except Exception as error:
        error.add_note(f'replay: MNEDGE_MUTANT="{mutant}"')
        raise


def everything(seed: int) -> list[Mutant]:
    """Return all mutants of all documents in an order fixed by the seed.

    First each shape of place once, in the smallest document that has it; then each kind of change
    of each shape; then all the rest. So a share of the list reaches far.
    """
    by_size = sorted(DOCUMENTS.items(), key=lambda item: len(json.dumps(item[1])))
    found = [
        mutant
        for (bundle, file), document in by_size
        for mutant in mutants(bundle, file, document, seed)
    ]
    rng = random.Random(seed)
    turns: tuple[list[Mutant], list[Mutant], list[Mutant]] = ([], [], [])
    kinds: dict[tuple[str, Shape], str] = {}
    seen: set[tuple[str, Shape, str]] = set()
    for mutant in found:
        place = (mutant.file, shape_of(mutant.at))
        chosen = kinds.setdefault(place, KINDS[mutant.salt % len(KINDS)])
        turn = 2 if (*place, mutant.kind) in seen else 0 if mutant.kind == chosen else 1
        seen.add((*place, mutant.kind))
        turns[turn].append(mutant)
    for turn in turns:
        rng.shuffle(turn)
    return [mutant for turn in turns for mutant in turn]


def test_no_change_of_a_manifest_or_config_meets_an_unhandled_exception(soak, record_property):
    """The order is fixed; how far it gets within its time is printed."""
    if replay := os.environ.get("MNEDGE_MUTANT"):
        survives(next(mutant for mutant in everything(SEED) if str(mutant) == replay))
        return
    started = time.monotonic()
    done, seed = 0, SEED
    while True:
        for mutant in everything(seed)[: None if soak else SHARE]:
            if time.monotonic() - started > (SOAK_S if soak else SHARE_S):
                break
            told(mutant)
            done += 1
        else:
            if soak:
                seed += 1
                continue
        break
    print(f"seed {SEED}: {done} mutants in {time.monotonic() - started:.0f} s")
    record_property("mutants", done)
    assert done >= 300


@pytest.mark.parametrize("file", FILES)
def test_every_place_of_a_blueprint_of_our_own_survives_being_deleted(file):
    for at in places(DOCUMENTS["message_routing_trace", file]):
        told(Mutant("message_routing_trace", file, at, "delete", 0))


@pytest.mark.parametrize("form", [*FORMS, "lowered"])
def test_every_place_of_a_manifest_with_steps_survives_each_change(form):
    """One change of each kind at every place."""
    name = f"made {form}"
    for mutant in mutants(name, "manifest.json", DOCUMENTS[name, "manifest.json"], SEED):
        told(mutant)


@pytest.mark.parametrize("kind", ["delete", "repeat", "retype", "nest", "bury", "graft"])
def test_a_mutant_differs_from_the_document(kind):
    document = {"a": [1, {"b": "c"}], "d": None}
    made = [Mutant("x", "y", ("a", 1, "b"), kind, salt) for salt in range(5)]
    assert {changed(document, mutant) for mutant in made} - {json.dumps(document).encode()}
    assert changed(document, made[0]) == changed(document, made[0])


def test_every_shape_of_place_is_visited_once():
    document = {"nodes": [{"id": 1}, {"id": 2}], "x": {}}
    assert len(places(document)) == 5
