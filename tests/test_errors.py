from mnedge import errors


def test_an_error_carries_what_a_person_needs():
    error = errors.UsageError("wrong", hint="mend it", details={"path": "$.a"})
    assert (error.message, error.hint, error.details) == ("wrong", "mend it", {"path": "$.a"})
    assert str(error) == "wrong"


def test_an_overloaded_part_says_when_to_come_back():
    assert errors.OverloadedError("full", retry_after_s=0.25).retry_after_s == 0.25


def test_families_map_to_exit_codes_and_http_statuses():
    told = {
        family.__name__: (family.exit_code, family.http_status)
        for family in errors.MnedgeError.__subclasses__()
        if family.__module__ == errors.__name__
    }
    assert told == {
        "UsageError": (2, 400),
        "NotFoundError": (2, 404),
        "NotAllowedError": (13, 403),
        "ConflictError": (1, 409),
        "OverloadedError": (1, 429),
        "UnavailableError": (1, 503),
        "CorruptError": (1, 500),
    }
