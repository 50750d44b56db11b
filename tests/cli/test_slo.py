import pytest
import yaml


@pytest.mark.parametrize(
    "words",
    [("slo", "list"), ("slo", "show", "a"), ("alert", "list"), ("alert", "test", "a"),
     ("alert", "silence", "a")],
)  # fmt: skip
def test_without_a_daemon_nobody_watches(mnedge, words):
    told = mnedge(*words, code=1)
    assert "no daemon runs here" in told.err
    assert "mnedge daemon" in told.err


@pytest.mark.drives("mnedge slo rules")
def test_rules_are_printed_from_the_configuration(mnedge, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("trace: {slos: [{name: cortex-availability, target: 99.9%}]}")
    told = mnedge("slo", "rules", "--config", str(file))
    groups = yaml.safe_load(told.out)["groups"]
    assert [group["name"] for group in groups] == ["mnedge-slo-ratios", "mnedge-slo-burn"]
