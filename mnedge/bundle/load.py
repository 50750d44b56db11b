"""A path to a bundle: opened, checked by every rule, lowered.

`open_bundle` never stops at the first problem and never raises for what a bundle holds; `require`
turns its errors into one.
"""

import os
import shutil
import tempfile
import weakref
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec import structs

from mnedge.bundle import bindings, lower
from mnedge.bundle.agents import agent_entries, by_id
from mnedge.bundle.archive import is_archive, unpack
from mnedge.bundle.config import Resolved, Setting, for_run, resolve, with_setting
from mnedge.bundle.files import Files, FolderFiles
from mnedge.bundle.fingerprint import directory_digest
from mnedge.bundle.generation import Generation, detect
from mnedge.bundle.inputs import ResolvedInputs, as_settings, failed_patterns, resolve_inputs
from mnedge.bundle.json_text import JsonInvalidError, read
from mnedge.bundle.layout import edges_of, steps_of
from mnedge.bundle.problem import Problem, Severity, invalid
from mnedge.bundle.rules.inputs import rules_in
from mnedge.bundle.rules.registry import ERROR, PROFILES, Found, Rule, as_problem, run
from mnedge.bundle.rules.running import unrunnable
from mnedge.bundle.subject import Document, JsonObject, SourceFinding, Subject, is_text, mapping
from mnedge.errors import NotFoundError, UnavailableError, UsageError
from mnedge.model.manifest import JobSpec


class BundleUnreadableError(UnavailableError):
    """A bundle is there, but its files cannot be read, or not be unpacked."""

    code = "bundle.unreadable"


class Bundle:
    """An opened bundle, and everything that is wrong with it.

    A bundle that came from an archive lives in a temporary folder until `close`.
    """

    def __init__(self, label: str, root: Path, subject: Subject, problems: list[Problem]) -> None:
        self.label = label
        self.root = root
        self.subject = subject
        self.problems = problems
        self.manifest: JsonObject = subject.manifest
        self.generation = subject.generation
        self.config: JsonObject = {}
        self.config_sources: list[str] = []
        self.inputs = ResolvedInputs()
        self.inputs_given = False
        """They come from outside, not from the config."""
        self.input_sources: JsonObject = {}
        """Where what input skills brought came from."""
        self.launch_problems: list[Problem] = []
        """What only matters to a run: outside config layers, input sources, input rules."""
        self.fingerprint = ""
        self.spec: JobSpec | None = None
        self._remove: weakref.finalize[Any, Any] | None = None

    @property
    def blueprint_id(self) -> str:
        """The id its metadata declares, else its folder's name."""
        return _blueprint_id(self.subject)

    @property
    def errors(self) -> list[Problem]:
        """The problems that refuse the bundle."""
        return [problem for problem in self.problems if problem.severity is Severity.ERROR]

    @property
    def warnings(self) -> list[Problem]:
        """The problems that do not."""
        return [problem for problem in self.problems if problem.severity is Severity.WARNING]

    @property
    def files(self) -> Files:
        """Its files."""
        return self.subject.files

    def spec_for(self, run_id: str, runs_root: str) -> JobSpec:
        """Return the job of one run, the launcher's values in its config and bound into its agents.

        Raises: BundleInvalidError if the bundle has errors.
        """
        require(self)
        if self.subject.unchecked:
            raise invalid(self.label, unread_definitions(self.subject))
        return _lowered(self, for_run(self.config, run_id, runs_root))

    def add_inputs(self, payload: JsonObject, sources: JsonObject) -> None:
        """Have these members among the inputs too, and in the config, and tell where from."""
        self.input_sources = sources
        if payload:
            whole = {**self.inputs.payload, **payload}
            self.inputs = structs.replace(self.inputs, payload=whole)
            for setting in as_settings(whole):
                self.config = with_setting(self.config, setting)

    def close(self) -> None:
        """Remove what was unpacked for it."""
        if self._remove is not None:
            self._remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_bundle(
    path: str | Path,
    *,
    profile: str = "default",
    overrides: Mapping[str, Any] | None = None,
    settings: Sequence[Setting] = (),
    inputs: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    expected_id: str | None = None,
    run_code: bool = True,
) -> Bundle:
    """Return the bundle at a folder or archive, with every problem the rules find.

    `overrides` is a config layer, `settings` are texts `a.b=c`, `inputs` replaces the input
    payload of the config, so that what the config binds to it follows. `expected_id` is the id to
    hold it to where the folder's name means nothing. `run_code` False leaves the step definitions
    of an authoring source unread: they are Python modules of the bundle, loaded in a process of
    their own.
    Raises: NotFoundError if nothing is there; BundleUnreadableError;
    ArchiveUnsafeError, ArchiveInvalidError; ConfigInvalidError for a bad setting.
    """
    place = Path(path)
    if not os.path.exists(place):
        raise NotFoundError(
            f"no bundle at '{path}'",
            hint="name a folder with a manifest.json, or an archive of one",
            details={"rule": "B-01"},
        )
    remove = None
    if place.is_file():
        place, expected_id, remove = _unpacked(place, expected_id)
    elif expected_id is None:
        expected_id = place.resolve().name
    try:
        bundle = open_files(
            _listed(place),
            label=str(path),
            root=place,
            expected_id=expected_id,
            catalogue=_catalogue(place) if remove is None else None,
            profile=profile,
            overrides=overrides,
            settings=settings,
            inputs=inputs,
            environ=environ,
            run_code=run_code,
        )
    except BaseException:
        if remove is not None:
            remove()
        raise
    if remove is not None:
        bundle._remove = weakref.finalize(bundle, remove)
    return bundle


def open_files(
    files: Files,
    *,
    label: str,
    root: Path,
    expected_id: str | None = None,
    catalogue: Document | None = None,
    profile: str = "default",
    overrides: Mapping[str, Any] | None = None,
    settings: Sequence[Setting] = (),
    inputs: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    run_code: bool = True,
) -> Bundle:
    """Return the bundle that these files make; `run_code` as in `open_bundle`."""
    if profile not in PROFILES:
        raise UsageError(f"no profile is called {profile!r}", hint=f"use {' or '.join(PROFILES)}")
    subject = _subject(files, expected_id, catalogue, run_code=run_code)
    bundle = Bundle(label, root, subject, run(_rules(), subject, profile))
    resolved = _config(subject, overrides, settings, environ)
    scenario = subject.scenario_document.members
    found = resolve_inputs(resolved.config, files, scenario=scenario, environ=environ)
    if inputs is not None and (found.problems or found.payload != inputs):
        resolved = _config(subject, overrides, [*settings, *as_settings(inputs)], environ)
        found = resolve_inputs(resolved.config, files, given=inputs)
    bundle.config = resolved.config
    bundle.config_sources = resolved.sources
    bundle.inputs = found
    bundle.inputs_given = inputs is not None
    bundle.launch_problems = [*resolved.problems, *bundle.inputs.problems]
    bundle.fingerprint = directory_digest(files)
    refused = [problem for problem in bundle.errors if not problem.strict]
    if not refused and subject.graph:
        bundle.spec = _lowered(bundle, bundle.config)
    return bundle


def require(bundle: Bundle) -> Bundle:
    """Return the bundle.

    Raises: BundleInvalidError with every problem if it has errors.
    """
    if bundle.errors or bundle.spec is None:
        raise invalid(bundle.label, bundle.problems)
    return bundle


def runnable_problems(
    bundle: Bundle, available_runners: Collection[str], *, openshell_fallback: bool = True
) -> list[Problem]:
    """Return what only matters now that a valid bundle is to run here; errors refuse the run.

    `available_runners` are the names a host has; of a mapping from names to runners each is also
    asked whether it is available.
    """
    by_id = {item.rule_id: item for item in _rules()}
    found = [
        (by_id["X-01"], item)
        for item in unrunnable(
            bundle.subject,
            bundle.config,
            available_runners,
            openshell_fallback=openshell_fallback,
        )
    ]
    for rule_id in ("N-33", "X-04"):
        found += [(by_id[rule_id], item) for item in by_id[rule_id].check(bundle.subject)]
    problems = [
        as_problem(item, structs.replace(one, severity=one.severity or ERROR), "default")
        for item, one in found
    ]
    entries = [entry for _, entry in rules_in(bundle.subject)]
    problems += unread_definitions(bundle.subject)
    problems += bundle.launch_problems
    problems += failed_patterns(entries, bundle.config, bundle.manifest)
    return sorted(problems, key=lambda problem: problem.severity is not Severity.ERROR)


def _rules() -> list[Rule]:
    """Return every rule; a node that was given no bundle yet holds none of their modules."""
    from mnedge.bundle.rules.all import RULES

    return RULES


def unread_definitions(subject: Subject) -> list[Problem]:
    """Return an error for each step definition of an authoring source that was not loaded."""
    item = next(item for item in _rules() if item.rule_id == "S-09")
    return [
        as_problem(
            item,
            Found(
                message=f"step definition {name} was not loaded; its step has no agents inside",
                help="let mnedge load the modules of this bundle",
                actual=name,
                severity=ERROR,
            ),
            "default",
        )
        for name in subject.unchecked
    ]


def valid_text(bundle: Bundle) -> str:
    """Return what a successful validation says."""
    return f"Job bundle at '{bundle.label}' is valid."


def document(files: Files, name: str) -> Document:
    """Return a JSON file of the bundle, read, or why it cannot be."""
    if not files.is_file(name):
        return Document(name=name)
    try:
        content = files.read(name)
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        return Document(name=name, present=True, error=JsonInvalidError(reason))
    if content is None:
        return Document(name=name, present=True, at_hand=False)
    return parsed(name, content)


def parsed(name: str, content: bytes) -> Document:
    """Return this content as a document."""
    try:
        value, duplicates = read(content)
    except JsonInvalidError as error:
        return Document(name=name, present=True, error=error)
    return Document(name=name, present=True, value=value, content=content, duplicates=duplicates)


def _subject(
    files: Files, expected_id: str | None, catalogue: Document | None, *, run_code: bool
) -> Subject:
    manifest = document(files, "manifest.json")
    default = document(files, "config/default.json")
    generation = detect(manifest.members) if manifest.members else Generation.UNKNOWN
    subject = Subject(
        files=files,
        manifest_document=manifest,
        config_document=default,
        overwrite_document=document(files, "config/overwrite.json"),
        scenario_document=document(files, "scenario.json"),
        generation=generation,
        expected_id=expected_id,
        catalogue=catalogue,
        config=default.members,
        supplied=default.members,
    )
    if generation.letter == "S":
        _expand(subject, run_code=run_code)
    else:
        _look_at_the_graph(subject, manifest.members)
    return subject


def _expand(subject: Subject, *, run_code: bool) -> None:
    """Make the workflow manifest that an authoring source stands for."""
    from mnedge.bundle.source.expand import expand

    config = subject.config_document
    expanded = expand(
        subject.manifest,
        subject.files,
        config_default=config.members if config.present else None,
        run_code=run_code,
    )
    subject.source_problems = [
        SourceFinding(**structs.asdict(problem)) for problem in expanded.problems
    ]
    subject.unchecked = list(expanded.unchecked)
    if expanded.manifest:
        subject.supplied = expanded.config
        _look_at_the_graph(subject, expanded.manifest)


def _look_at_the_graph(subject: Subject, manifest: JsonObject) -> None:
    """Find agents, edges and steps in the manifest, or in what it was expanded to."""
    subject.graph = manifest
    subject.agents = agent_entries(manifest, subject.graph_generation, subject.files)
    subject.agent_ids = by_id(subject.agents)
    subject.edges = edges_of(manifest, subject.graph_generation)
    if subject.graph_generation.letter != "A":
        subject.steps = steps_of(manifest)


def _config(
    subject: Subject,
    overrides: Mapping[str, Any] | None,
    settings: Sequence[Setting],
    environ: Mapping[str, str] | None,
) -> Resolved:
    name = subject.manifest.get("name") or subject.metadata.get("name")
    blueprint_id = _blueprint_id(subject)
    return resolve(
        blueprint_id,
        name if is_text(name) else blueprint_id,
        [
            (layer.name, members)
            for layer, members in (
                (subject.config_document, subject.supplied),
                (subject.overwrite_document, subject.overwrite_document.members),
            )
            if layer.present or (members and subject.generation.letter == "S")
        ],
        overrides=overrides,
        settings=settings,
        environ=environ,
    )


def _blueprint_id(subject: Subject) -> str:
    for name in (
        subject.metadata.get("blueprint_id"),
        mapping(subject.graph.get("metadata")).get("blueprint_id"),
        mapping(subject.config.get("identity")).get("blueprint_id"),
        subject.expected_id,
        subject.manifest.get("graph_id"),
    ):
        if is_text(name):
            return str(name)
    return ""


def _lowered(bundle: Bundle, config: JsonObject) -> JobSpec:
    manifest = bindings.applied(bundle.subject.graph, config)
    scenario = bundle.subject.scenario_document
    return lower.job_spec(
        manifest,
        bundle.generation,
        blueprint_id=bundle.blueprint_id,
        config=config,
        inputs=bundle.inputs.payload,
        files=bundle.files,
        fingerprint=bundle.fingerprint,
        scenario=scenario.members if scenario.present else None,
    )


def _listed(root: Path) -> FolderFiles:
    try:
        return FolderFiles(root)
    except OSError as error:
        raise BundleUnreadableError(
            f"the bundle at '{root}' cannot be read: {error.strerror}",
            hint="let the user that runs mnedge read it",
        ) from error


def _unpacked(archive: Path, expected_id: str | None) -> tuple[Path, str | None, Any]:
    if not is_archive(archive):
        raise UsageError(
            f"expected a job folder, got file {archive}",
            hint="name the folder that holds manifest.json, or a .tar.gz, .tgz, .tar or .zip of it",
        )
    outer = Path(tempfile.mkdtemp(prefix="mnedge-bundle-"))

    def remove() -> None:
        shutil.rmtree(outer, ignore_errors=True)

    try:
        unpack(archive, outer / "bundle")
    except OSError as error:
        remove()
        raise BundleUnreadableError(
            f"the archive '{archive}' cannot be unpacked: {error.strerror}",
            hint="see that it can be read, and that the disk for temporary files has room",
        ) from error
    except BaseException:
        remove()
        raise
    root = outer / "bundle"
    inner = [entry for entry in sorted(root.iterdir()) if entry.name != "__MACOSX"]
    if not (root / "manifest.json").exists() and len(inner) == 1 and inner[0].is_dir():
        return inner[0], expected_id or inner[0].name, remove
    return root, expected_id, remove


def _catalogue(root: Path) -> Document | None:
    index = root.resolve().parent / "index.json"
    if not index.is_file() or (root / "index.json") == index:
        return None
    try:
        return parsed("index.json", index.read_bytes())
    except OSError:
        return None
