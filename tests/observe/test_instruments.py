from mnedge.observe.instruments import HttpFigures, LlmFigures
from mnedge.observe.metrics import Registry


def test_answers_are_counted_and_timed_by_route():
    registry = Registry()
    figures = HttpFigures(registry)
    figures.answered("GET", "/api/v1/jobs/{id}", 200, 0.2)
    figures.answered("BREW", "/api/v1/jobs/{id}", 405, 0.7)
    found = {(s.name, tuple(s.labels.values())): s.value for s in registry.samples()}
    assert found[("http_requests_total", ("GET", "/api/v1/jobs/{id}", "200"))] == 1
    assert found[("http_requests_total", ("OTHER", "/api/v1/jobs/{id}", "405"))] == 1
    route = "/api/v1/jobs/{id}"
    assert found[("http_request_duration_seconds_bucket", (route, "0.5"))] == 1


def test_upstreams_have_their_figures():
    registry = Registry()
    LlmFigures(registry).tokens.add(12, "openai", "gpt", "prompt")
    assert b'mnedge_llm_tokens_total{adapter="openai",model="gpt",kind="prompt"} 12' in (
        registry.exposition()
    )
