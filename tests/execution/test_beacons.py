import pytest

from mnedge.execution.beacons import Beacons, Identity, beacon_settings, beacon_variables

IDENTITY = Identity(job_id="j", agent_id="a", step="s", attempt=2)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def told():
    return []


@pytest.fixture
def beacons(clock, told):
    settings = beacon_settings({"beacon_enabled": True, "beacon_timeout_ms": 10_000})
    return Beacons(
        settings,
        IDENTITY,
        elapsed_s=clock,
        date=lambda: 1_700_000_000.0 + clock.now,
        tell=lambda event, payload: told.append((event, payload)),
    )


def test_settings_have_the_defaults_of_the_contract():
    settings = beacon_settings({})
    assert (settings.enabled, settings.required) == (False, False)
    assert (settings.interval_s, settings.timeout_s) == (15.0, 45.0)
    assert settings.beacon_prefix == b"__MN_AGENT_BEACON__"
    assert settings.event_prefix == b"__MN_EVENT__"


def test_settings_are_read_as_manifests_write_them():
    settings = beacon_settings(
        {
            "beacon_enabled": "yes",
            "agent_beacon_required": 1,
            "beacon_interval_ms": 500,
            "beacon_timeout_ms": "soon",
            "agent_beacon_stdout_prefix": "@@",
            "agent_event_stdout_prefix": " ",
        }
    )
    assert (settings.enabled, settings.required) == (True, False)
    assert (settings.interval_s, settings.timeout_s) == (0.5, 45.0)
    assert (settings.beacon_prefix, settings.event_prefix) == (b"@@", b"__MN_EVENT__")


def test_a_step_may_allow_less_silence_than_the_default_but_not_than_the_agent():
    assert beacon_settings({}, 2000).timeout_s == 2.0
    assert beacon_settings({}, 300_000).timeout_s == 45.0
    assert beacon_settings({"beacon_timeout_ms": 9000}, 2000).timeout_s == 9.0


def test_a_worker_learns_how_to_beacon_only_if_it_shall():
    assert beacon_variables(beacon_settings({}), IDENTITY) == {}
    enabled = beacon_settings({"beacon_enabled": True, "agent_beacon_required": True})
    assert beacon_variables(enabled, IDENTITY) == {
        "MN_AGENT_BEACON_STDOUT_PREFIX": "__MN_AGENT_BEACON__",
        "MN_AGENT_BEACON_INTERVAL_MS": "15000",
        "MN_AGENT_BEACON_TIMEOUT_MS": "45000",
        "MN_AGENT_BEACON_REQUIRED": "1",
        "MN_AGENT_BEACON_JOB_ID": "j",
        "MN_AGENT_BEACON_AGENT_ID": "a",
        "MN_AGENT_BEACON_ATTEMPT": "2",
        "MN_AGENT_BEACON_STEP": "s",
        "MN_AGENT_BEACON_SOURCE": "agent",
    }


def test_a_beacon_says_whose_it_is_and_when(beacons, clock, told):
    clock.now = 1.25
    beacons.from_runtime("started")
    assert told == [
        (
            "agent_beacon",
            {
                "schema": "mn.agent.beacon.v1",
                "job_id": "j",
                "agent_id": "a",
                "step": "s",
                "attempt": 2,
                "source": "runtime",
                "status": "started",
                "sequence": 1,
                "message": "",
                "interval_ms": 15_000,
                "timeout_ms": 10_000,
                "elapsed_ms": 1250,
                "ms_since_last_agent_beacon": None,
                "emitted_at": "2023-11-14T22:13:21.250Z",
            },
        )
    ]


def test_a_worker_adds_members_but_cannot_be_somebody_else(beacons, clock, told):
    beacons.from_agent({"status": "busy", "progress": 3, "job_id": "lie", "source": "runtime"})
    clock.now = 2.0
    beacons.from_agent("just text")
    first, second = (payload for _, payload in told)
    assert (first["progress"], first["job_id"], first["source"]) == (3, "j", "agent")
    assert (second["status"], second["message"]) == ("working", "just text")
    assert second["ms_since_last_agent_beacon"] == 2000
    assert beacons.last == second


def test_beacons_that_say_nothing_new_are_thinned(beacons, clock, told):
    beacons.from_runtime("started")
    for second in range(1, 31):
        clock.now = float(second)
        beacons.from_runtime("working")
    beacons.from_runtime("completed")
    assert [(p["status"], p["elapsed_ms"] // 1000) for _, p in told] == [
        ("started", 0),
        *[("working", at) for at in (1, 6, 11, 16, 21, 26)],
        ("completed", 30),
    ]


def test_each_source_is_thinned_by_itself(beacons, told):
    beacons.from_runtime("working")
    beacons.from_agent({})
    beacons.from_runtime("working")
    beacons.from_agent({})
    assert [payload["source"] for _, payload in told] == ["runtime", "agent"]


def test_silence_is_told(beacons, told):
    payload = beacons.missed()
    assert told == [("agent_beacon_missed", payload)]
    assert payload["status"] == "missed"
