"""Rules about how a job of generation A completes."""

from collections.abc import Iterator

from mnedge.bundle.kinds import is_sink, kind_of
from mnedge.bundle.rules.registry import WARNING, Found, rule
from mnedge.bundle.subject import Subject, as_number
from mnedge.model.states import AgentKind


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
        for key in ("complete_job", "complete_job?"):
            if key in agent.config:
                yield Found(
                    at=(*agent.at, "config", key),
                    message=f"{agent.label} uses {key}; it is read as complete_run",
                    expected="complete_run",
                )
