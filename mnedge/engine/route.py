"""Messages on their way: emissions along edges, places in mailboxes, dead letters.

Order is total: emissions in the order of actions and of edges in the manifest; messages of one
sender to one target never overtake each other; a freed place goes to the target's seeds, then to
whoever waits longest.
"""

from binascii import b2a_base64
from collections import deque
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import msgspec

from mnedge.engine.compile import Link, Route
from mnedge.engine.conditions import Asked
from mnedge.engine.inspect import state_root
from mnedge.engine.ledger.headers import headers_to
from mnedge.engine.state import OUTSIDE, AgentState, Held, Letter
from mnedge.engine.turn import Turn
from mnedge.model.body import weight_of
from mnedge.model.message import Message, normalise, output_id, weight

MAX_HOPS_OF_MESSAGE = 100_000
"""A message beyond is dead-lettered: its graph turns in a circle without anybody working."""

LETTERS_KEPT = 1000
"""Dead letters; the oldest beyond are forgotten."""

URL_SAFE = bytes.maketrans(b"+/", b"-_")


class Draft:
    """What an action emits: the parts of the new message that do not depend on its target."""

    __slots__ = (
        "action", "artifacts", "body", "causation_id", "class_", "content_encoding", "content_type",
        "correlation_id", "headers", "hops", "parent", "stream", "type", "weight_bytes",
    )  # fmt: skip

    def __init__(
        self,
        parent: Message,
        message_type: str,
        body: Any,
        *,
        action: int = 0,
        weight_bytes: int | None = None,
        class_: str | None = None,
        headers: dict[str, Any] | None = None,
        hops: int | None = None,
    ) -> None:
        self.parent = parent
        """The message being handled."""
        self.type = message_type
        self.body = body
        self.action = action
        """Place of the action in its list."""
        self.weight_bytes = weight_bytes
        """None: taken when the first message is made of it."""
        self.class_ = class_ or parent.class_
        self.correlation_id = parent.correlation_id
        self.causation_id = parent.message_id
        self.content_type = parent.content_type
        self.content_encoding = parent.content_encoding
        self.headers = {**parent.headers, **headers} if headers else parent.headers
        self.artifacts = parent.artifacts
        self.stream = parent.stream
        self.hops = parent.hops + 1 if hops is None else hops

    def message(
        self,
        message_id: str,
        sender: str,
        to: str,
        at: float,
        headers: dict[str, Any] | None = None,
    ) -> Message:
        """Return the message for one target; `headers` None: those of the draft."""
        if self.weight_bytes is None:
            self.weight_bytes = weight(self.body, self.headers, self.artifacts, self.stream)
        return Message(
            message_id,
            self.type,
            to,
            sender,
            self.class_,
            self.correlation_id,
            at,
            self.body,
            self.headers if headers is None else headers,
            self.artifacts,
            self.stream,
            self.causation_id,
            self.content_type,
            self.content_encoding,
            self.hops,
            self.weight_bytes,
        )


def emit(turn: Turn, sender: int, draft: Draft) -> None:
    """Send along every edge that matches; none matching is no error."""
    remember_output(turn, sender, draft.body)
    for target, message in outgoing(turn, sender, draft):
        deliver(turn, sender, target, message)


def outgoing(turn: Turn, sender: int, draft: Draft) -> Iterator[tuple[int, Message]]:
    """Yield the message for every edge that matches, with its target."""
    compiled = turn.job.agents[sender]
    route = compiled.route(draft.type)
    if not route.links:
        return
    links = route.links if route.plain else _selected(turn, sender, draft, route)
    parent_id = draft.parent.message_id
    for link in links:
        if draft.action == 0:
            new_id = edge_id_of(parent_id, link.suffix)
        else:
            key = f"{draft.action}:{link.edge_id}"
            new_id = output_id(parent_id, compiled.agent_id, link.target_id, key)
        headers = _headers(turn, draft, link.target)
        yield (
            link.target,
            draft.message(new_id, compiled.agent_id, link.target_id, turn.at, headers),
        )


def emit_to(turn: Turn, sender: int, target_id: str, draft: Draft) -> None:
    """Send straight to an agent; to one that does not exist it is a dead letter."""
    agent_id = turn.job.agents[sender].agent_id
    remember_output(turn, sender, draft.body)
    new_id = output_id(draft.parent.message_id, agent_id, target_id, str(draft.action))
    target = turn.job.index_of.get(target_id)
    headers = None if target is None else _headers(turn, draft, target)
    message = draft.message(new_id, agent_id, target_id, turn.at, headers)
    if target is None:
        dead_letter(turn, message, f"agent {target_id} is not part of the job")
    else:
        deliver(turn, sender, target, message)


def _headers(turn: Turn, draft: Draft, target: int) -> dict[str, Any] | None:
    return None if turn.state.ledger is None else headers_to(turn, draft.headers, target)


def edge_id_of(parent_id: str, suffix: bytes) -> str:
    """Return action 0's `output_id` along an edge whose constant part was made beforehand."""
    digest = sha256(parent_id.encode() + suffix).digest()
    return b2a_base64(digest, newline=False).translate(URL_SAFE, b"=").decode()


def remember_output(turn: Turn, sender: int, body: Any) -> None:
    """Keep the newest output: the job's result, should it fall silent."""
    turn.state.last_agent = sender
    turn.state.last_body = body


def dead_letter(turn: Turn, message: Message, reason: str) -> None:
    """Tell that a message reaches nobody, and keep it until a person has seen to it."""
    turn.tell(
        "dead_letter",
        message.to or None,
        {
            "agent_id": message.to or None,
            "reason": reason,
            "message_id": message.message_id,
            "attempt": message.attempt,
            "message": message,
        },
    )
    if turn.state.ledger is not None:
        turn.lost.append((message, reason))
    if turn.job.revision >= 2:
        _keep_letter(turn, message, reason)


def _keep_letter(turn: Turn, message: Message, reason: str) -> None:
    letters = turn.state.letters
    if message.message_id in letters:
        forget_letter(turn, message.message_id)
    weight_bytes = message.weight_bytes + weight_of(reason)
    letters[message.message_id] = Letter(message, reason, turn.at, weight_bytes=weight_bytes)
    turn.state.kept_bytes += weight_bytes
    if len(letters) > LETTERS_KEPT:
        oldest = next(iter(letters))
        letter = forget_letter(turn, oldest)
        agent_id = letter.message.to or None
        payload = {"message_id": oldest, "agent_id": agent_id, "reason": letter.reason}
        turn.tell("dead_letter_dropped", agent_id, {**payload, "kept": LETTERS_KEPT})


def forget_letter(turn: Turn, message_id: str) -> Letter:
    """Take a dead letter out."""
    letter = turn.state.letters.pop(message_id)
    turn.state.kept_bytes -= letter.weight_bytes
    return letter


def _selected(turn: Turn, sender: int, draft: Draft, route: Route) -> list[Link]:
    compiled, agent = turn.agent(sender)
    asked = Asked(draft.parent, draft.body, lambda root: state_root(compiled, agent, root))
    matched = []
    for link in route.links:
        holds = link.holds is None or link.holds(asked)
        turn.tell(
            "route_evaluated", compiled.agent_id, _route_payload(compiled.agent_id, link, holds)
        )
        if holds:
            matched.append(link)
    if matched and any(link.mode == "first_match" for link in route.links):
        del matched[1:]
    if not matched:
        payload = {
            "from": compiled.agent_id,
            "message_type": draft.type,
            "candidate_count": len(route.links),
        }
        turn.tell("route_not_matched", compiled.agent_id, payload)
    for link in matched:
        turn.tell(
            "route_selected", compiled.agent_id, _route_payload(compiled.agent_id, link, None)
        )
    return matched


def _route_payload(agent_id: str, link: Link, matched: bool | None) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "edge_id": link.edge_id,
        "from": agent_id,
        "to": link.target_id,
        "message_type": link.message_type,
        "routing_mode": link.mode,
    }
    if matched is not None:
        payload["matched"] = matched
    return payload


# ---- places in mailboxes ----


def deliver(turn: Turn, sender: int, target: int, message: Message) -> None:
    """Give the message a place in the mailbox, or let the sender hold it until there is one."""
    agent = turn.state.agents[target]
    if message.hops > MAX_HOPS_OF_MESSAGE:
        dead_letter(turn, message, f"more than {MAX_HOPS_OF_MESSAGE} hops")
    elif agent.depth + 1 < agent.alarm:
        place(turn, agent, message)
    else:
        _deliver_under_pressure(turn, sender, target, message)


def place(turn: Turn, agent: AgentState, message: Message) -> None:
    """Put the message into the mailbox, whatever the bounds say."""
    agent.depth += 1
    turn.state.queue.append(message)
    turn.state.queued_bytes += message.weight_bytes


def _deliver_under_pressure(turn: Turn, sender: int, target: int, message: Message) -> None:
    compiled, agent = turn.agent(target)
    if agent.depth < compiled.bounds.most:
        place(turn, agent, message)
        tell_pressure(turn, target)
    elif message.class_ == "stream" and not compiled.bounds.keeps_all:
        _drop(turn, sender, target, message)
    else:
        _hold(turn, sender, agent, message)


def _drop(turn: Turn, sender: int, target: int, message: Message) -> None:
    compiled, agent = turn.agent(target)
    payload = {
        "reason": "backpressure",
        "retry_after_ms": compiled.bounds.retry_after_ms,
        "pressure": compiled.bounds.shown(compiled.agent_id, agent.depth, agent.level),
        "from": message.sender,
        "to": message.to,
        "message_type": message.type,
        "message_id": message.message_id,
        "dropped": True,
    }
    who = turn.job.agents[sender].agent_id if sender != OUTSIDE else None
    turn.tell("backpressure_signal", who, payload)


def _hold(turn: Turn, sender: int, agent: AgentState, message: Message) -> None:
    state = turn.state
    state.hold_order += 1
    held = Held(message, sender, state.hold_order)
    state.queued_bytes += message.weight_bytes
    if sender == OUTSIDE:
        if agent.outside is None:
            agent.outside = deque()
        agent.outside.append(held)
        return
    if agent.held is None:
        agent.held = deque()
    agent.held.append(held)
    state.holds += 1
    state.agents[sender].holding += 1


def tell_pressure(turn: Turn, target: int) -> None:
    """Tell of the mailbox's level if it changed."""
    compiled, agent = turn.agent(target)
    level = compiled.bounds.level(agent.depth, agent.level)
    if level == agent.level:
        return
    agent.level = level
    agent.alarm = compiled.bounds.alarm(level)
    shown = compiled.bounds.shown(compiled.agent_id, agent.depth, level)
    turn.tell("backpressure_state", compiled.agent_id, shown)


def taken(turn: Turn, target: int) -> None:
    """Give the place that a taken message left, in a mailbox under pressure, to who waits."""
    compiled, agent = turn.agent(target)
    while agent.depth < compiled.bounds.most:
        if agent.seeds_left:
            place(turn, agent, next_seed(turn, target))
        elif agent.outside and not (agent.held and agent.held[0].order < agent.outside[0].order):
            _admit_from_outside(turn, agent, agent.outside)
        elif agent.held:
            admit(turn, agent)
        else:
            break
    tell_pressure(turn, target)


def _admit_from_outside(turn: Turn, agent: AgentState, waiting: deque[Held]) -> None:
    message = waiting.popleft().message
    if not waiting:
        agent.outside = None
    turn.state.queued_bytes -= message.weight_bytes
    place(turn, agent, message)


def admit(turn: Turn, agent: AgentState) -> None:
    """Let the oldest message that an agent holds for this mailbox in, and its holder go on."""
    if not agent.held:
        raise ValueError("nobody waits for a place here")
    item = agent.held.popleft()
    if not agent.held:
        agent.held = None
    turn.state.queued_bytes -= item.message.weight_bytes
    place(turn, agent, item.message)
    turn.state.holds -= 1
    turn.state.agents[item.holder].holding -= 1
    make_ready(turn, item.holder)


def make_ready(turn: Turn, index: int) -> None:
    """Let the agent take from its inbox, if it has one and nothing keeps it."""
    agent = turn.state.agents[index]
    waits = agent.inbox or agent.due
    if waits and not agent.ready and agent.holding == 0 and agent.flight is None:
        agent.ready = True
        turn.state.ready.append(index)


# ---- seeds ----


def seed(turn: Turn, target: int) -> None:
    """Deliver the agent's seeds, as many as its mailbox takes; the others follow as it drains."""
    compiled, agent = turn.agent(target)
    agent.seeds_left = len(turn.job.spec.seeds.get(compiled.agent_id) or [{}])
    while agent.seeds_left and agent.depth < compiled.bounds.most:
        place(turn, agent, next_seed(turn, target))
    tell_pressure(turn, target)


def next_seed(turn: Turn, target: int) -> Message:
    """Return the agent's next seed as a message."""
    compiled, agent = turn.agent(target)
    values = turn.job.spec.seeds.get(compiled.agent_id) or [{}]
    position = len(values) - agent.seeds_left
    agent.seeds_left -= 1
    value = values[position]
    message = normalise(
        value if isinstance(value, dict) else {"body": value},
        at=turn.at,
        seed=f"{turn.state.job_id}:seed:{compiled.agent_id}:{position}",
        to=compiled.agent_id,
        type="init",
        class_="command",
    )
    # A seed goes to its entrypoint, whatever its envelope says.
    return msgspec.structs.replace(message, to=compiled.agent_id)
