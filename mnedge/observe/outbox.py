"""What has to be sent, kept in the table until it is: at least once, in its own time.

Loses: the oldest, when more than `MOST` wait; what could not be sent for a day; what the other side
refuses for good. All of it is counted and said.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import trio
from msgspec import Struct, structs

from mnedge.errors import ConflictError, MnedgeError, UnavailableError
from mnedge.part import Part
from mnedge.ports import Clock, Delivery, Table

ROWS = "outbox/"
MOST = 1000
FIRST_WAIT_S = 5.0
LONGEST_WAIT_S = 300.0
GIVE_UP_S = 86400.0
DELIVER_S = 30.0

Tell = Callable[[str, str, Mapping[str, Any]], None]
"""level, message, fields: where it is said that something could not be sent."""


class Letter(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One delivery to one channel, with what became of it so far."""

    channel: str
    delivery: Delivery
    tries: int = 0
    next_at: float = 0.0
    last_error: str = ""

    @property
    def key(self) -> str:
        """Its row; in the order in which they came."""
        return f"{ROWS}{int(self.delivery.at * 1000):014d}-{self.delivery.delivery_id}"


class Channels(Protocol):
    """How letters leave."""

    async def send(self, channel: str, delivery: Delivery) -> None:
        """Return when it arrived.

        Raises: UnavailableError: try again; any other MnedgeError: never.
        """


class Outbox(Part):
    """Sends what waits, one letter at a time for each channel; sleeps while nothing waits."""

    def __init__(
        self,
        table: Table,
        channels: Channels,
        *,
        now: Clock,
        tell: Tell,
        counted: Callable[[str, str], None],
        first_wait_s: float = FIRST_WAIT_S,
    ) -> None:
        self._table = table
        self._channels = channels
        self._now = now
        self._tell = tell
        self._counted = counted
        self._first_wait_s = first_wait_s
        self._waiting: dict[str, Letter] = {}
        self._rests: dict[str, tuple[int, float]] = {}
        """Channels that are away: how often in a row, and until when they are left alone."""
        self._came = trio.Event()

    @property
    def waiting(self) -> list[Letter]:
        """What is not sent yet, oldest first."""
        return [self._waiting[key] for key in sorted(self._waiting)]

    async def put(
        self, letters: Sequence[Letter], beside: Mapping[str, bytes] | None = None
    ) -> None:
        """Keep letters durably, with new rows `beside` them: all or none. Then send them soon.

        Raises: UnavailableError if the disk refuses.
        """
        rows = {letter.key: msgspec.json.encode(letter) for letter in letters}
        try:
            await self._table.put_new({**rows, **(beside or {})})
        except ConflictError:  # some of it was kept before a crash: it is the same
            for key, value in (*rows.items(), *(beside or {}).items()):
                await self._table.put(key, value)
        self._waiting.update((letter.key, letter) for letter in letters)
        while len(self._waiting) > MOST:
            await self._forget(min(self._waiting), "dropped", "too many wait")
        self._came.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send until cancelled."""
        await self._load()
        task_status.started()
        while True:
            self._came = trio.Event()
            ready, soonest_at = self._ready()
            if ready:
                async with trio.open_nursery() as nursery:
                    for letters in ready.values():
                        nursery.start_soon(self._send_all, letters)
            elif soonest_at is None:
                await self._came.wait()
            else:
                with trio.move_on_after(max(soonest_at - self._now(), 0.0)):
                    await self._came.wait()

    def _ready(self) -> tuple[dict[str, list[Letter]], float | None]:
        """Return what is due by channel, else when the first of the others is."""
        now, ready = self._now(), dict[str, list[Letter]]()
        moments: list[float] = []
        for letter in sorted(self.waiting, key=lambda letter: letter.tries):
            _, rests_until = self._rests.get(letter.channel, (0, 0.0))
            due_at = max(letter.next_at, rests_until)
            # A wait longer than any we set is a date that was stepped back.
            if due_at <= now or due_at > now + 2 * LONGEST_WAIT_S:
                ready.setdefault(letter.channel, []).append(letter)
            else:
                moments.append(due_at)
        return ready, min(moments, default=None)

    async def _load(self) -> None:
        after = ROWS
        try:
            while rows := await self._table.scan(ROWS, after=after):
                after = rows[-1].key
                for row in rows:
                    try:
                        letter = msgspec.json.decode(row.value, type=Letter)
                    except msgspec.MsgspecError:
                        await self._table.delete(row.key, sync=False)
                        continue
                    self._waiting[row.key] = letter
        except UnavailableError as error:
            self._tell("error", "the outbox cannot be read", {"error": error.message})

    async def _send_all(self, letters: list[Letter]) -> None:
        for letter in letters:
            if not await self._sent(letter):
                return  # its channel is away: the others of it wait as well

    async def _sent(self, letter: Letter) -> bool:
        delivery = structs.replace(letter.delivery, attempt=letter.tries + 1)
        try:
            with trio.fail_after(DELIVER_S):
                await self._channels.send(letter.channel, delivery)
        except (UnavailableError, trio.TooSlowError) as error:
            text = error.message if isinstance(error, MnedgeError) else "it took too long"
            await self._again(letter, text)
            return False
        except MnedgeError as error:
            self._rests.pop(letter.channel, None)
            await self._forget(letter.key, "refused", error.message)
            return True
        except Exception as error:  # a skill's breakage stays with its delivery
            await self._again(letter, f"the skill broke: {type(error).__name__}: {error}")
            return False
        self._rests.pop(letter.channel, None)
        await self._forget(letter.key, "sent", "")
        return True

    async def _again(self, letter: Letter, text: str) -> None:
        now = self._now()
        failures, _ = self._rests.get(letter.channel, (0, 0.0))
        rest_s = min(self._first_wait_s * 2**failures, LONGEST_WAIT_S)
        self._rests[letter.channel] = (failures + 1, now + rest_s)
        if now - letter.delivery.at > GIVE_UP_S and letter.tries:
            await self._forget(letter.key, "given_up", text)
            return
        wait_s = min(self._first_wait_s * 2**letter.tries, LONGEST_WAIT_S)
        waits = structs.replace(
            letter, tries=letter.tries + 1, next_at=now + wait_s, last_error=text
        )
        self._waiting[letter.key] = waits
        self._counted(letter.channel, "failed")
        self._tell(
            "warning",
            "could not be sent, will be tried again",
            {"channel": letter.channel, "title": letter.delivery.title, "error": text,
             "tries": waits.tries, "next_in_s": wait_s},
        )  # fmt: skip
        try:
            await self._table.put(letter.key, msgspec.json.encode(waits), sync=False)
        except UnavailableError:
            return  # the row of before serves; it is tried sooner then

    async def _forget(self, key: str, how: str, text: str) -> None:
        letter = self._waiting.pop(key, None)
        if letter is None:
            return
        self._counted(letter.channel, how)
        if how != "sent":
            self._tell(
                "error",
                "was not sent and will not be",
                {"channel": letter.channel, "title": letter.delivery.title, "how": how,
                 "error": text},
            )  # fmt: skip
        try:
            await self._table.delete(key, sync=False)
        except UnavailableError:
            return  # after a restart it is sent once more: it carries the same id
