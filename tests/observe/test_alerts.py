from mnedge.observe.alerts import Active, Alerts


def active(name="a", for_s=0.0, **more):
    return Active(**({"name": name, "labels": {"x": "1"}, "severity": "page", "for_s": for_s}
                     | more))  # fmt: skip


def told(changes):
    return [(change.alert.name, change.event) for change in changes]


def test_an_alert_waits_for_its_time_fires_once_and_is_over_once():
    alerts = Alerts()
    assert alerts.update(0, [active(for_s=60)], {}) == []
    (known,) = alerts.known.values()
    assert known.state == "pending"
    assert alerts.update(59, [active(for_s=60)], {}) == []
    assert told(alerts.update(60, [active(for_s=60)], {})) == [("a", "firing")]
    assert alerts.update(75, [active(for_s=60)], {}) == []
    assert told(alerts.update(90, [], {})) == [("a", "resolved")]
    assert alerts.update(105, [], {}) == []
    assert alerts.known == {}


def test_a_condition_that_breaks_off_begins_again():
    alerts = Alerts()
    alerts.update(0, [active(for_s=60)], {})
    assert alerts.update(45, [], {}) == []
    assert alerts.update(50, [active(for_s=60)], {}) == []
    assert alerts.update(105, [active(for_s=60)], {}) == []
    assert told(alerts.update(110, [active(for_s=60)], {})) == [("a", "firing")]


def test_series_are_instances_of_their_own():
    alerts = Alerts()
    one, two = active(), active(labels={"x": "2"})
    assert one.key != two.key
    assert len(alerts.update(0, [one, two], {})) == 2
    assert told(alerts.update(1, [two], {})) == [("a", "resolved")]


def test_silence_holds_back_and_what_still_fires_is_told_when_it_ends():
    alerts = Alerts()
    assert alerts.update(0, [active()], {"a": 100.0}) == []
    assert [alert.state for alert in alerts.firing()] == ["firing"]
    assert told(alerts.update(100, [active()], {"a": 100.0})) == [("a", "firing")]
    alerts = Alerts()
    alerts.update(0, [active()], {"a": 100.0})
    assert alerts.update(50, [], {"a": 100.0}) == [], "never told, so never told to be over"


def test_a_ticket_is_not_told_while_a_page_says_the_same():
    alerts = Alerts()
    ticket = active(severity="ticket", quiet=True)
    assert alerts.update(0, [ticket], {}) == []
    assert told(alerts.update(1, [active(severity="ticket")], {})) == [("a", "firing")]


def test_one_from_before_a_restart_is_not_told_again_and_waits_for_its_series():
    alerts = Alerts()
    (change,) = alerts.update(0, [active()], {})
    again = Alerts()
    again.resume(change.alert, hold_until=400.0)
    assert again.update(15, [], {}) == [], "its rate has no history yet"
    assert again.update(30, [active()], {}) == []
    (over,) = again.update(45, [], {})
    assert over.event == "resolved", "it was seen to hold, so now it is over"
    held = Alerts()
    held.resume(change.alert, hold_until=400.0)
    assert held.update(399, [], {}) == []
    assert told(held.update(400, [], {})) == [("a", "resolved")]


def test_ids_are_the_same_for_the_same_change_only():
    alerts = Alerts()
    (fired,) = alerts.update(5, [active()], {})
    (over,) = alerts.update(6, [], {})
    (again,) = alerts.update(7, [active()], {})
    ids = [fired.delivery_id("a"), fired.delivery_id("b"), over.delivery_id("a"),
           again.delivery_id("a")]  # fmt: skip
    assert len(set(ids)) == 4
    assert fired.delivery_id("a") == ids[0]
    body = over.body("node-1")
    assert (body["status"], body["fired_at"], body["resolved_at"]) == ("resolved", 5, 6)
