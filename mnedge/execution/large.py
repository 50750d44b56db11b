"""Large values: out to the blob store before they become facts, and back for whoever reads them."""

from typing import Any, assert_never

import msgspec
import trio

from mnedge.model.body import (
    INLINE_LIMIT_BYTES,
    BlobRef,
    filled,
    json_bytes,
    refs_in,
    values_at,
    weight_of,
)
from mnedge.model.facts import (
    Action,
    Checkpoint,
    Complete,
    Completion,
    DeliverLater,
    Emission,
    Emit,
    NamedEvent,
    Structured,
    Tell,
)
from mnedge.ports import Blobs

THREAD_FROM_BYTES = 1 << 20
"""Larger values are decoded in a thread, so that others are served meanwhile."""

_SCATTER, _PATCH = "workflow_step_scatter", "workflow_graph_patch"


async def plain(tree: Any, blobs: Blobs) -> Any:
    """Return the tree as plain JSON values, everything loaded.

    Raises: NotFoundError, CorruptError if a blob is not what it was.
    """
    refs = refs_in(tree)
    if not refs:
        return filled(tree, {})
    loaded = {ref.digest: await blobs.get(ref.digest) for ref in refs}
    if sum(map(len, loaded.values())) < THREAD_FROM_BYTES:
        return filled(tree, loaded)
    return await trio.to_thread.run_sync(filled, tree, loaded)


class Offload:
    """Puts what is too large for a job's state into the blob store; equal contents are put once.

    `paths`: what the compiled job can ask for inside a body.
    Raises: UnavailableError from every method while the store cannot take anything.
    """

    def __init__(self, blobs: Blobs, paths: tuple[str, ...]) -> None:
        self._blobs = blobs
        self._paths = paths
        self._put: dict[bytes, str] = {}

    async def value(self, value: Any) -> Any:
        """Return the value, or a reference if it is large."""
        if weight_of(value) <= INLINE_LIMIT_BYTES:
            return value
        match value:
            case str():
                return await self._ref(value.encode(errors="replace"), "text", value)
            case bytes():
                return await self._ref(value, "bytes", value)
            case _:
                return await self._ref(json_bytes(value), "json", value)

    async def members(self, tree: dict[str, Any]) -> dict[str, Any]:
        """Return the object with each large member as a reference."""
        if weight_of(tree) <= INLINE_LIMIT_BYTES:
            return tree
        return {key: await self.value(member) for key, member in tree.items()}

    async def structured(self, said: Structured) -> Structured:
        """Return what the worker said, bodies and states that are large as references."""
        return msgspec.structs.replace(
            said,
            next_state=await self.value(said.next_state),
            events=[await self.event(event) for event in said.events],
            completions=[await self.completion(completion) for completion in said.completions],
            emissions=[await self.emission(emission) for emission in said.emissions],
        )

    async def event(self, event: NamedEvent) -> NamedEvent:
        """Return the event with a payload that fits.

        The engine reads every operation of a patch, which has bounds of its own, and the list of
        items of a scatter.
        """
        if event.type == _PATCH:
            return event
        if event.type == _SCATTER and weight_of(event.payload) > INLINE_LIMIT_BYTES:
            payload = {key: await self._items(member) for key, member in event.payload.items()}
            return NamedEvent(type=event.type, payload=payload)
        return NamedEvent(type=event.type, payload=await self.members(event.payload))

    async def _items(self, member: Any) -> Any:
        if isinstance(member, list):
            return [await self.value(item) for item in member]
        return await self.value(member)

    async def completion(self, completion: Completion) -> Completion:
        """Return the completion with a value that fits."""
        return msgspec.structs.replace(completion, value=await self.value(completion.value))

    async def emission(self, emission: Emission) -> Emission:
        """Return the emission with a body that fits."""
        return msgspec.structs.replace(emission, body=await self.value(emission.body))

    async def action(self, action: Action) -> Action:
        """Return the action with what it carries made to fit."""
        match action:
            case Emit():
                return Emit(emission=await self.emission(action.emission))
            case Tell():
                return Tell(event=await self.event(action.event))
            case Complete():
                return Complete(completion=await self.completion(action.completion))
            case Checkpoint():
                return Checkpoint(snapshot=await self.members(action.snapshot))
            case DeliverLater():
                return msgspec.structs.replace(action, body=await self.value(action.body))
            case _:
                assert_never(action)

    async def _ref(self, content: bytes, encoding: str, value: Any) -> BlobRef:
        digest = self._put.get(content)
        if digest is None:
            digest = self._put[content] = await self._blobs.put(content)
        values = values_at(value, self._paths) if encoding == "json" else {}
        return BlobRef(digest, len(content), encoding=encoding, values=values)
