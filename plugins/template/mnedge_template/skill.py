"""`maildir`: puts each delivery as a mail into a Maildir, where mail programs find it.

Setting: `path` of the Maildir.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from typing import Any

import trio

from mnedge.errors import UnavailableError, UsageError
from mnedge.ports import Delivery


class Maildir:
    """Delivers into a folder of mails."""

    name = "maildir"

    def __init__(self, folder: str, allowed: Sequence[str] = ()) -> None:
        self._folder = Path(folder)
        self._allowed = [Path(os.path.realpath(path)) for path in allowed]

    def check(self, settings: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with the settings; nothing is opened."""
        problems = [
            f"{key!r} is no setting of maildir; it has path" for key in settings.keys() - {"path"}
        ]
        path = settings.get("path")
        if not isinstance(path, str) or not path or "\0" in path:
            problems.append("path has to name a Maildir, as in alerts")
        elif not self._is_open(path):
            problems.append(f"{path} is outside {self._folder}; see daemon.skillFolders")
        return problems

    async def deliver(self, delivery: Delivery, settings: Mapping[str, Any]) -> None:
        """Return when the mail is on disk. The same delivery is the same file, so it comes once."""
        problems = self.check(settings)
        if problems:
            raise UsageError("; ".join(problems))
        try:
            await trio.to_thread.run_sync(_put, self._folder / settings["path"], delivery)
        except OSError as error:
            raise UnavailableError(
                f"{settings['path']} cannot be written: {error.strerror or error}"
            ) from error

    def _is_open(self, path: str) -> bool:
        place = Path(os.path.realpath(self._folder / path))
        inside = [Path(os.path.realpath(self._folder)), *self._allowed]
        return any(place.is_relative_to(top) for top in inside)


def _put(place: Path, delivery: Delivery) -> None:
    for name in ("tmp", "new", "cur"):
        (place / name).mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(delivery.delivery_id.encode()).hexdigest()[:32] + ".mnedge"
    if (place / "new" / name).exists() or any((place / "cur").glob(f"{name}*")):
        return  # it came before
    written = place / "tmp" / name
    written.unlink(missing_ok=True)  # of a try that was cut short
    with written.open("xb") as file:
        file.write(_mail(delivery))
        file.flush()
        os.fsync(file.fileno())
    written.replace(place / "new" / name)


def _mail(delivery: Delivery) -> bytes:
    mail = EmailMessage()
    mail["From"] = "mnedge"
    mail["Subject"] = " ".join(delivery.title.split())
    mail["Date"] = formatdate(delivery.at)
    mail["X-Mnedge-Delivery"] = delivery.delivery_id
    mail["X-Mnedge-Kind"] = delivery.kind
    about = {"title": delivery.title, "body": delivery.body}
    mail.set_content(json.dumps(about, indent=2, ensure_ascii=False))
    return mail.as_bytes()
