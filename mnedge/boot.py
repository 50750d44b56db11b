"""Which start of this machine it is: what was true before a restart of it may be no more."""


def boot_id(proc: str = "/proc") -> str:
    """Return what names this start of the machine, in every process alike."""
    try:
        with open(f"{proc}/sys/kernel/random/boot_id", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        import psutil

        return f"{psutil.boot_time():.0f}"
