"""Rules about streams and skills, the living sources and destinations of a blueprint."""

from collections.abc import Iterator
from typing import Any

from mnedge.bundle.rules.config_sections import FILE
from mnedge.bundle.rules.registry import ERROR, STRICT, WARNING, Found, rule
from mnedge.bundle.subject import Subject, is_text, mapping

KINDS = ("audio", "video", "data", "multimodal")
TRANSPORTS = (
    "file",
    "http",
    "https",
    "rtsp",
    "rtmp",
    "webrtc",
    "websocket",
    "socketio",
    "tcp",
    "udp",
    "sse",
    "kafka",
    "mqtt",
    "custom",
)
_SOURCE_KEYS = ("_id", "url", "uri", "path", "bucket", "endpoint", "topic", "address", "_env")


@rule(
    "C-11",
    ERROR,
    "*",
    "config.stream",
    "a stream is malformed",
    help=f"give it a kind of {', '.join(KINDS)}, a transport and a uri",
)
def streams_can_be_read(subject: Subject) -> Iterator[Found]:
    """Yield each stream of an unknown kind, and (in strict) of an unknown transport."""
    for at, stream in _entries(subject, "streams", "inputs", "streams"):
        if not isinstance(stream, dict):
            yield Found(file=FILE, at=at, message="a stream must be an object", actual=stream)
            continue
        if stream.get("kind") not in KINDS:
            yield Found(
                file=FILE,
                at=(*at, "kind"),
                message=f"stream {at[-1]} has no known kind",
                expected=list(KINDS),
                actual=stream.get("kind"),
            )
        if stream.get("transport") not in TRANSPORTS:
            yield Found(
                file=FILE,
                at=(*at, "transport"),
                message=f"stream {at[-1]} has no known transport",
                expected=list(TRANSPORTS),
                actual=stream.get("transport"),
                severity=STRICT,
            )


@rule(
    "C-21",
    ERROR,
    "*",
    "config.skill",
    "a skill is malformed",
    help='write {"skill": "…", "connector": "…"} under the name of the source or destination',
)
def skills_name_a_skill(subject: Subject) -> Iterator[Found]:
    """Yield each input or output skill that is no object or names no skill."""
    for at, skill in _skills(subject):
        if not isinstance(skill, dict):
            yield Found(file=FILE, at=at, message=f"skill {at[-1]} must be an object", actual=skill)
        elif not is_text(skill.get("skill")):
            yield Found(
                file=FILE,
                at=(*at, "skill"),
                message=f"skill {at[-1]} does not name its skill",
                expected="a text such as slack.send_message",
                actual=skill.get("skill"),
            )


@rule(
    "C-22",
    STRICT,
    "*",
    "config.live_skill",
    "a live input skill must declare its events",
    help='add "events": {"on_change": "folder_content_changed"}',
)
def live_skills_declare_events(subject: Subject) -> Iterator[Found]:
    """Yield each live input skill without events."""
    for at, skill in _entries(subject, "input_skills", "inputs", "skills"):
        if isinstance(skill, dict) and skill.get("live") is True and not skill.get("events"):
            yield Found(
                file=FILE,
                at=(*at, "events"),
                message=f"live input skill {at[-1]} declares no events",
                expected="an object or a list of event types",
            )


@rule(
    "C-31",
    WARNING,
    "*",
    "config.stream_source",
    "an enabled stream says nowhere where it comes from",
    help="add a uri or url, or set enabled to false",
)
def streams_have_a_source(subject: Subject) -> Iterator[Found]:
    """Yield each enabled stream without address."""
    for at, stream in _entries(subject, "streams", "inputs", "streams"):
        if (
            isinstance(stream, dict)
            and stream.get("enabled") is not False
            and not (stream.get("uri") or stream.get("url"))
        ):
            yield Found(file=FILE, at=at, message=f"stream {at[-1]} has neither uri nor url")


@rule(
    "C-32",
    WARNING,
    "*",
    "config.skill_details",
    "a skill leaves out what a launcher needs",
    help="inputs: connector, live, source; outputs: connector, content, destination",
)
def skills_are_described(subject: Subject) -> Iterator[Found]:
    """Yield each skill without connector, source or destination, live flag or content."""
    for at, skill in _skills(subject):
        if not isinstance(skill, dict):
            continue
        is_input = at[0] in ("input_skills", "inputs")
        missing = [
            key for key in ("connector", "live" if is_input else "content") if key not in skill
        ]
        if not any(_names_a_place(key, is_input=is_input) and skill[key] for key in skill):
            missing.append("source identity" if is_input else "destination")
        if missing:
            yield Found(
                file=FILE,
                at=at,
                message=f"skill {at[-1]} does not say {', '.join(missing)}",
                expected=missing,
            )


def _entries(
    subject: Subject, section: str, parent: str, key: str
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the entries of a section, also of its older home; scalars are flags, no entries."""
    for at, holder in (
        ((section,), subject.config.get(section)),
        ((parent, key), subject.section(parent).get(key)),
    ):
        for name, entry in mapping(holder).items():
            if isinstance(entry, dict | list):
                yield (*at, name), entry


def _skills(subject: Subject) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield from _entries(subject, "input_skills", "inputs", "skills")
    yield from _entries(subject, "output_skills", "outputs", "skills")


def _names_a_place(key: str, *, is_input: bool) -> bool:
    return key.endswith(_SOURCE_KEYS) or (
        not is_input and key in ("destination", "recipient", "to", "channel", "filename_template")
    )
