"""What Prometheus reads of the upstreams."""

from mnedge.gateway.llm.proxy import Observer, Proxy
from mnedge.observe.metrics import Registry

_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_STATES = {"closed": 0.0, "half-open": 1.0, "open": 2.0}


def observer_of(registry: Registry) -> Observer:
    """Return who counts tokens and seconds."""
    tokens = registry.counter(
        "mnedge_llm_tokens_total",
        "Tokens that were sent to models (prompt) and came from them (completion).",
        ("adapter", "model", "kind"),
    )
    whole = registry.histogram(
        "mnedge_llm_request_seconds", "Until an answer had ended.", _SECONDS, ("adapter",)
    )
    first = registry.histogram(
        "mnedge_llm_first_token_seconds", "Until an answer began.", _SECONDS, ("adapter",)
    )
    opened = registry.counter(
        "mnedge_upstream_opened_total", "How often an upstream was left alone.", ("adapter",)
    )
    return Observer(
        tokens=lambda adapter, model, kind, count: tokens.add(count, adapter, model, kind),
        answered=lambda adapter, seconds: whole.observe(seconds, adapter),
        first_byte=lambda adapter, seconds: first.observe(seconds, adapter),
        opened=lambda adapter: opened.add(1, adapter),
    )


def show_states(registry: Registry, models: Proxy) -> None:
    """Have the state of every upstream read when somebody asks."""
    gauge = registry.gauge(
        "mnedge_upstream_state", "0 asked, 1 on trial, 2 left alone.", ("adapter",)
    )
    gauge.asked(lambda: {(one["name"],): _STATES[one["state"]] for one in models.states()})
