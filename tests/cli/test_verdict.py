"""Findings of doctor in words."""

from mnedge.cli.verdict import Finding, absent, broken, document, lines, ok, verdict, warning


def finding(status="ok", name="bash", group="payloads", **more):
    return Finding(group=group, name=name, status=status, found="there", **more)


def test_findings_stand_in_groups_with_a_verdict():
    told = [line.plain for line in lines([finding(), finding(name="clock", group="machine")])]
    assert told == [
        "payloads",
        "  ✓ bash   there",
        "",
        "machine",
        "  ✓ clock  there",
        "",
        "✓ everything that mnedge needs is here",
    ]


def test_what_is_wrong_says_how_to_mend_it():
    told = [line.plain for line in lines([finding("broken", mend="install bash")])]
    assert told[1:3] == ["  ✗ bash  there", "          install bash"]


def test_what_is_absent_is_no_trouble():
    assert verdict([finding("absent")]).plain.startswith("✓")
    assert verdict([finding("warning"), finding("warning")]).plain == "! 2 warnings"
    assert verdict([finding("warning"), finding("broken")]).plain == "✗ 1 broken, 1 warning"


def test_a_program_is_told_whether_it_is_healthy():
    assert document([finding("warning")])["healthy"] is True
    assert document([finding("broken")])["healthy"] is False


def test_each_finding_has_the_status_that_its_name_says():
    assert ok("node", "a", "there").status == "ok"
    assert absent("node", "a", "not there").status == "absent"
    assert warning("node", "a", "old", "renew it").mend == "renew it"
    assert broken("node", "a", "bad", "mend it").status == "broken"
