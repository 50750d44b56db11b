"""Rules about the paths that agents name: uploads, targets, work folders."""

from collections.abc import Iterator
from typing import Any

from mnedge.bundle.files import tidy, unsafe_path
from mnedge.bundle.rules.agents import name_of, shown
from mnedge.bundle.rules.registry import ERROR, WARNING, Found, rule
from mnedge.bundle.subject import AgentEntry, Subject, is_text, listing, objects

SANDBOX_ROOTS = ("/sandbox", "/mn/job")
_STAGED_ELSEWHERE = ("__mn_skill_dependencies", "mn-skills")


@rule(
    "N-08",
    ERROR,
    "*",
    "agent.path",
    "a path leaves the place it is relative to",
    help="use a relative path without `..`; absolute targets only below /sandbox",
)
def paths_stay_inside(subject: Subject) -> Iterator[Found]:
    """Yield each upload, target, policy or work folder that leaves payloads or workspace."""
    for agent in subject.agents:
        for at, path, rooted in _paths(agent):
            reason = _path_problem(agent, path, rooted=rooted)
            if reason:
                yield Found(
                    at=(*agent.at, "config", *at),
                    message=f"{'.'.join(map(str, at))} of {name_of(agent)} {reason}",
                    expected="a path below /sandbox, or a relative one"
                    if rooted
                    else "a relative path inside payloads/",
                    actual=path,
                )


def _paths(agent: AgentEntry) -> Iterator[tuple[tuple[str | int, ...], Any, bool]]:
    """Yield each path of the config: where, what, and whether a sandbox path is allowed."""
    config = agent.config
    for key in ("upload_path", "policy", "module_source"):
        if config.get(key) not in (None, ""):
            yield (key,), config[key], False
    for key in ("upload_as", "workdir"):
        if config.get(key) not in (None, ""):
            yield (key,), config[key], True
    for key in ("upload_paths", "uploads"):
        for index, upload in objects(config.get(key)):
            if "source" in upload:
                yield (key, index, "source"), upload["source"], False
            if upload.get("target") not in (None, ""):
                yield (key, index, "target"), upload["target"], True


def _path_problem(agent: AgentEntry, path: Any, *, rooted: bool) -> str:
    if not isinstance(path, str):
        return "must be a text"
    if path.startswith("@/"):
        path = path[2:]
    if rooted and path.startswith("/"):
        own_root = agent.config.get("sandbox_upload_path")
        roots = (*SANDBOX_ROOTS, own_root) if is_text(own_root) else SANDBOX_ROOTS
        for root in roots:
            if path == root or path.startswith(root.rstrip("/") + "/"):
                path = path[len(root) :].strip("/") or "."
                break
        else:
            return f"is outside the sandbox: {shown(path)}"
    reason = unsafe_path(path)
    return f"{reason}: {shown(path)}" if reason else ""


@rule(
    "N-33",
    WARNING,
    "*",
    "agent.upload_missing",
    "an upload is not in payloads/",
    help="add the file or folder below payloads/, or correct the path",
)
def uploads_are_there(subject: Subject) -> Iterator[Found]:
    """Yield each upload source that the bundle does not hold."""
    for agent in subject.agents:
        for at, source in sources_of(agent):
            if unsafe_path(source):
                continue
            name = f"payloads/{tidy(source)}".rstrip("/")
            if not subject.files.is_file(name) and not subject.files.is_dir(name):
                elsewhere = source.split("/")[0] in _STAGED_ELSEWHERE
                yield Found(
                    at=(*agent.at, "config", *at),
                    message=f"upload {source} of {name_of(agent)} is not in payloads/",
                    help="this skill package is staged by other launchers; copy it below payloads/"
                    if elsewhere
                    else "",
                    expected=name,
                )


def sources_of(agent: AgentEntry) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield every payload that the agent asks to have staged, with its place in the config.

    Source: worker contract 3.2: `upload_paths` (or `uploads`) where it is not empty, else
    `upload_path`.
    """
    config = agent.config
    for key in ("upload_paths", "uploads"):
        for index, upload in objects(config.get(key)):
            if is_text(upload.get("source")):
                yield (key, index, "source"), upload["source"]
    if not listing(config.get("upload_paths")) and is_text(config.get("upload_path")):
        yield ("upload_path",), config["upload_path"]
    if is_text(config.get("module_source")):
        yield ("module_source",), config["module_source"]
