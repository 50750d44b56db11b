"""Rules about language models: which settings an agent uses, and whether a run can be repeated."""

from collections.abc import Iterator
from typing import Any

from mnedge.bundle.problem import At
from mnedge.bundle.rules.config_sections import FILE
from mnedge.bundle.rules.registry import STRICT, WARNING, Found, rule
from mnedge.bundle.subject import Subject, is_text, mapping, objects

LLM_MODES = ("mock", "fake", "fixture", "recorded")
_MODEL_KEYS = frozenset(
    {"model", "api_base", "provider", "timeout_seconds", "max_tokens", "num_retries"}
)


@rule(
    "C-14",
    STRICT,
    "*",
    "config.llm",
    "llm names a configuration that does not exist",
    help="define it under llm.configs, or name one that is there",
)
def llm_configs_exist(subject: Subject) -> Iterator[Found]:
    """Yield if the model settings are empty, or are referred to by an unknown name."""
    llm = subject.section("llm")
    configs = mapping(llm.get("configs"))
    names = set(configs) or ({"primary"} if is_text(llm.get("model")) else set())
    if llm.get("enabled") is True and not names:
        yield Found(
            file=FILE, at=("llm", "configs"), message="llm is enabled, but llm.configs is empty"
        )
        return
    default = llm.get("default_config") or "primary"
    if configs and not (is_text(default) and default in names):
        yield Found(
            file=FILE,
            at=("llm", "default_config"),
            message=f"llm.default_config names {str(default)[:80]!r}, which is not configured",
            expected=sorted(names),
            actual=default,
        )
    if not names:
        return
    for name, agent in mapping(llm.get("agents")).items():
        wanted = mapping(agent).get("llm_config")
        if _unknown(wanted, names):
            at: At = ("llm", "agents", name, "llm_config")
            yield _unconfigured(FILE, at, wanted, names)
    for entry in subject.agents:
        wanted = entry.config.get("llm_config")
        if _unknown(wanted, names):
            at = (*entry.at, "config", "llm_config")
            yield _unconfigured("manifest.json", at, wanted, names)


def _unknown(wanted: Any, names: set[str]) -> bool:
    if not is_text(wanted):
        return False
    return wanted.removeprefix("LLM_CONFIG.").removeprefix("llm.configs.") not in names


def _unconfigured(file: str, at: At, wanted: Any, names: set[str]) -> Found:
    return Found(
        file=file,
        at=at,
        message=f"llm_config {wanted!r} is not configured",
        expected=sorted(names),
        actual=wanted,
    )


@rule(
    "C-33",
    WARNING,
    "*",
    "config.llm_repeated",
    "an agent repeats model settings",
    help="keep them under llm.configs and name that configuration",
)
def model_settings_stand_once(subject: Subject) -> Iterator[Found]:
    """Yield each agent or binding worker with model settings of its own."""
    places: list[tuple[str, At, Any]] = [
        (FILE, ("llm", "agents", name), agent)
        for name, agent in mapping(subject.section("llm").get("agents")).items()
    ]
    bindings = mapping(mapping(subject.manifest.get("runtime")).get("bindings"))
    for name, binding in bindings.items():
        for index, worker in objects(mapping(binding).get("workers")):
            at: At = ("runtime", "bindings", name, "workers", index)
            places.append(("manifest.json", at, worker))
        places.append(
            (
                "manifest.json",
                ("runtime", "bindings", name, "worker"),
                mapping(binding).get("worker"),
            )
        )
    llm = subject.section("llm")
    references: list[Any] = ["default", "primary", *mapping(llm.get("configs"))]
    if not llm.get("configs"):
        references.append(llm.get("model"))
    for file, at, holder in places:
        repeated = sorted(
            key
            for key, value in mapping(holder).items()
            if (key in _MODEL_KEYS and not (key == "model" and value in references))
            or (key.startswith("api_key") and key != "api_key_env")
        )
        if repeated:
            yield Found(
                file=file,
                at=at,
                message=f"{at[-1]} repeats the model settings {', '.join(repeated)}",
                actual=repeated,
            )


@rule(
    "C-44",
    WARNING,
    "*",
    "config.determinism",
    "a deterministic blueprint must name its seed",
    help="add determinism.seed_field, and a known replay.llm_mode",
)
def determinism_can_be_kept(subject: Subject) -> Iterator[Found]:
    """Yield a missing seed, and an unknown way to replay the model."""
    section = subject.section("determinism")
    if section.get("enabled") is True and not section.get("seed_field"):
        yield Found(file=FILE, at=("determinism", "seed_field"), expected="a field of the inputs")
    mode = mapping(section.get("replay")).get("llm_mode")
    if mode is not None and mode not in LLM_MODES:
        yield Found(
            file=FILE,
            at=("determinism", "replay", "llm_mode"),
            message="unknown replay.llm_mode",
            expected=list(LLM_MODES),
            actual=mode,
        )
