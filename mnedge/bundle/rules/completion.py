"""Rules about how a job completes."""

from collections.abc import Iterator

from mnedge.bundle.kinds import is_sink, kind_of
from mnedge.bundle.lower import job_type_of
from mnedge.bundle.rules.registry import ERROR, STRICT, WARNING, Found, rule
from mnedge.bundle.steps import agent_ids_of
from mnedge.bundle.subject import Subject, as_number, is_text
from mnedge.model.states import AgentKind

_OLD_WORDS = ("complete_job", "complete_job?")


@rule(
    "K-01",
    ERROR,
    "BCS",
    "completion.old_word",
    "unsupported complete_job",
    help="use terminal_sink and complete_run on the agent that ends the run",
)
def nobody_completes_the_job(subject: Subject) -> Iterator[Found]:
    """Yield each agent whose config uses the word of generation A."""
    for agent in subject.agents:
        for key in _OLD_WORDS:
            if key in agent.config:
                yield Found(at=(*agent.at, "config", key), message=f"{agent.label} uses {key}")


def _needs_an_output(subject: Subject, key: str) -> Iterator[Found]:
    for agent in subject.agents:
        value = agent.config.get(key)
        fires = value is True if key == "complete_on_message" else as_number(value) is not None
        if fires and not agent.config.get("output_message_type") and not is_sink(agent.rendered):
            yield Found(
                at=(*agent.at, "config", key),
                message=f"{key} of {agent.label} requires output_message_type, or terminal_sink"
                " and complete_run",
                expected=["output_message_type", "terminal_sink", "complete_run"],
            )


@rule(
    "K-02",
    ERROR,
    "BCS",
    "completion.on_message",
    "complete_on_message requires an output",
    help="add output_message_type, or terminal_sink and complete_run, both true",
)
def complete_messages_lead_on(subject: Subject) -> Iterator[Found]:
    """Yield each agent that completes on a message and tells nobody."""
    yield from _needs_an_output(subject, "complete_on_message")


@rule(
    "K-03",
    ERROR,
    "BCS",
    "completion.after",
    "complete_after requires an output",
    help="add output_message_type, or terminal_sink and complete_run, both true",
)
def complete_counts_lead_on(subject: Subject) -> Iterator[Found]:
    """Yield each agent that completes after a number of messages and tells nobody."""
    yield from _needs_an_output(subject, "complete_after")


@rule(
    "K-04",
    ERROR,
    "BCS",
    "completion.step_agent",
    "the agent of a workflow step cannot declare complete_run",
    help="give the run a sink of its own, an aggregator that belongs to no step",
)
def step_agents_do_not_complete(subject: Subject) -> Iterator[Found]:
    """Yield each agent of a step that would end the run."""
    known = subject.agent_ids
    working = {name for _, step in subject.steps for name in agent_ids_of(step, known)}
    for agent in subject.agents:
        if agent.agent_id in working and agent.config.get("complete_run"):
            yield Found(
                at=(*agent.at, "config", "complete_run"),
                message=f"{agent.label} does a step's work and cannot declare complete_run",
            )


@rule(
    "K-05",
    ERROR,
    "BCS",
    "completion.sink_edge",
    "a terminal sink must not have outgoing edges",
    help="take the edge out, or terminal_sink",
)
def sinks_are_last(subject: Subject) -> Iterator[Found]:
    """Yield each edge that leaves a terminal sink."""
    for at, edge in subject.edges:
        name = edge.get("from_node")
        sender = subject.agent_ids.get(name) if is_text(name) else None
        if sender is not None and sender.config.get("terminal_sink"):
            yield Found(
                at=(*at, "from_node"),
                message=f"terminal sink {name} must not have outgoing edges",
                actual=name,
            )


@rule(
    "K-06",
    ERROR,
    "BCS",
    "completion.no_sink",
    "a workflow needs a terminal sink",
    help="add an aggregator with complete_on_message, terminal_sink and complete_run, all true",
)
def workflows_have_a_sink(subject: Subject) -> Iterator[Found]:
    """Yield if a batch of steps has no agent that ends it."""
    if not subject.steps or job_type_of(subject.graph) not in ("batch", "sysbatch"):
        return
    if not any(is_sink(agent.rendered) for agent in subject.agents):
        at = subject.agents[0].at[:-1] if subject.agents else ("agents", "nodes")
        yield Found(at=at, severity=STRICT if subject.is_compiled_python else "")


@rule(
    "K-20",
    WARNING,
    "A",
    "completion.implicit_sink",
    "an aggregator completes the job without saying so",
    help="add terminal_sink and complete_run, both true",
)
def sinks_say_so(subject: Subject) -> Iterator[Found]:
    """Yield each aggregator that completes only because it emits nothing."""
    for agent in subject.agents:
        config = agent.config
        fires = config.get("complete_on_message") is True or as_number(config.get("complete_after"))
        emits = config.get("output_message_type")
        if (
            kind_of(agent.rendered) is AgentKind.AGGREGATOR
            and fires
            and not emits
            and not is_sink(agent.rendered)
        ):
            yield Found(
                at=(*agent.at, "config"),
                message=f"{agent.label} completes the job without terminal_sink and complete_run",
                expected=["terminal_sink", "complete_run"],
            )


@rule(
    "K-21",
    WARNING,
    "A",
    "completion.complete_job",
    "complete_job is the old spelling of complete_run",
    help="use terminal_sink and complete_run",
)
def complete_job_is_old(subject: Subject) -> Iterator[Found]:
    """Yield each agent whose config uses the old word."""
    for agent in subject.agents:
        for key in _OLD_WORDS:
            if key in agent.config:
                yield Found(
                    at=(*agent.at, "config", key),
                    message=f"{agent.label} uses {key}; it is read as complete_run",
                    expected="complete_run",
                )
