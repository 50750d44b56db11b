import yaml

from mnedge.config.settings import Alert, Slo, Trace
from mnedge.observe.rules import rule_file, unsupported

TRACE = Trace(
    slos=(
        Slo(name="cortex-availability", target="99.9%", window=30 * 86400.0),
        Slo(name="neuron-job-success-rate", target="99.5%", window=7 * 86400.0),
        Slo(name="relay-p95-latency", target="500ms", window=86400.0),
    ),
    alerts=(
        Alert(
            name="HighErrorRate", expr='rate(http_requests_total{status=~"5.."}[5m]) > 0.05',
            for_=300.0, severity="critical", labels={"team": "a"},
        ),
        Alert(name="Fancy", expr="histogram_quantile(0.9, x) > 1"),
    ),
)  # fmt: skip


def rules():
    groups = yaml.safe_load(rule_file(TRACE))["groups"]
    return {group["name"]: group["rules"] for group in groups}


def test_ratios_are_recorded_for_every_window():
    recorded = rules()["mnedge-slo-ratios"]
    names = [one["record"] for one in recorded if one["labels"]["slo"] == "cortex-availability"]
    assert names == [
        f"mnedge:slo_error_ratio:rate{span}" for span in ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
    ]
    (latency,) = [one for one in recorded if one["labels"]["slo"] == "relay-p95-latency"
                  and one["record"].endswith("rate5m")]  # fmt: skip
    assert 'le="0.5"' in latency["expr"]
    assert "{{" not in "".join(one["expr"] for one in recorded)


def test_pages_and_tickets_need_both_windows():
    burning = [one for one in rules()["mnedge-slo-burn"] if one["alert"] == "cortex-availability"]
    page, ticket = burning
    assert page["labels"]["severity"] == "page"
    assert page["expr"].splitlines()[0] == (
        'mnedge:slo_error_ratio:rate1h{slo="cortex-availability"} > (14.4 * 0.001) and '
        'mnedge:slo_error_ratio:rate5m{slo="cortex-availability"} > (14.4 * 0.001)'
    )
    assert ticket["labels"]["severity"] == "ticket"


def test_alerts_stand_there_as_written():
    first, second = rules()["mnedge-alerts"]
    assert first == {
        "alert": "HighErrorRate", "expr": 'rate(http_requests_total{status=~"5.."}[5m]) > 0.05',
        "for": "5m", "labels": {"severity": "critical", "team": "a"},
    }  # fmt: skip
    assert "for" not in second
    assert unsupported(TRACE) == ["Fancy"]


def test_nothing_configured_is_an_empty_file():
    assert yaml.safe_load(rule_file(Trace())) == {"groups": []}
