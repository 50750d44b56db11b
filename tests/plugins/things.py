"""Things that plugins bring, good and odd ones."""


class Odd(Exception):
    def __str__(self):
        raise RuntimeError("not even that")


class Echo:
    """A runner that does nothing."""

    name = "acme"
    modules = ("Acme.Runner",)
    isolation = "none"

    def available(self):
        return None

    async def run(self, launch, on_line):
        pass

    async def sweep(self, tokens):
        return 0


class Named:
    """Has the members that it is given."""

    def __init__(self, **members):
        for name, value in members.items():
            setattr(self, name, value)


def whole(**more):
    members = {
        "name": "acme",
        "modules": (),
        "isolation": "none",
        "watched": (),
        **dict.fromkeys(
            ("available", "run", "sweep", "check", "deliver", "probe", "environment", "read"), len
        ),
    }
    return Named(**{**members, **more})
