"""`mnedge` itself: the list of nouns, each imported when it is used."""

import click

import mnedge
from mnedge.cli.verbs import LazyNoun

NOUNS = {
    "blueprint": ("mnedge.cli.blueprint:blueprint", "List, validate and run blueprints."),
    "job": ("mnedge.cli.job:job", "Look at jobs, steer them, recover them."),
    "run": ("mnedge.cli.run:run", "Look at the run folders that jobs leave behind."),
    "definition": (
        "mnedge.cli.definition:definition",
        "Keep blueprints on a node, and start them again and again.",
    ),
    "top": (
        "mnedge.cli.watching:top",
        "Watch the node and its jobs, live: pools, progress, rates, and what waits for people.",
    ),
    "logs": (
        "mnedge.cli.watching:logs",
        "Print what workers wrote and logged, of one job or of all.",
    ),
    "events": (
        "mnedge.cli.watching:events",
        "Print what happens in all jobs; `mnedge job events` tells of one.",
    ),
    "node": ("mnedge.cli.node:node", "Look at nodes: the machines that run jobs."),
    "resource": (
        "mnedge.cli.resource:resource",
        "Look at what a node has: cores, memory, pools, devices.",
    ),
    "plugin": (
        "mnedge.cli.plugin:plugin",
        "Install, look at and remove plugins from outside.",
    ),
    "relay": (
        "mnedge.cli.relay:relay",
        "Look at the upstreams of language models, and at what was used of them.",
    ),
    "slo": (
        "mnedge.cli.slo:slo",
        "Look at goals: what share goes well, and how fast the error budget burns.",
    ),
    "alert": ("mnedge.cli.slo:alert", "Look at alerts, silence them, try how they are sent."),
    "context": ("mnedge.cli.context:context", "Name other nodes, and say which one is asked."),
    "completion": (
        "mnedge.cli.shells:completion",
        "Print what a shell reads to complete words of mnedge at the tab key.",
    ),
    "doctor": ("mnedge.cli.doctor:doctor", "Say what is present, what is missing, how to mend it."),
    "selftest": (
        "mnedge.cli.selftest:selftest",
        "Try this program on this machine: run a job, kill its daemon, see it recover.",
    ),
    "sbom": (
        "mnedge.cli.sbom:sbom",
        "Print what this program is made of: every part, its version and its licence.",
    ),
    "docs": ("mnedge.cli.docs:docs", "Read the manual."),
    "config": ("mnedge.cli.config:config", "Check and show the settings of this node."),
    "token": (
        "mnedge.cli.token:token",
        "Make, list and take back bearer tokens for callers on TCP.",
    ),
    "audit": (
        "mnedge.cli.audit:audit",
        "Read the record of every change, and check that nobody altered it.",
    ),
    "install": (
        "mnedge.cli.install:install",
        "Make this machine a supervised node: user, folders, systemd unit, logs, completion.",
    ),
    "uninstall": (
        "mnedge.cli.install:uninstall",
        "Stop the node and remove everything that `mnedge install` made.",
    ),
    "update": (
        "mnedge.cli.update:update",
        "Replace mnedge by another release, and go back by itself if that is not well.",
    ),
    "daemon": (
        "mnedge.cli.daemon:daemon",
        "Run jobs for ever, adopt unfinished ones, and answer programs and people.",
    ),
}


@click.group(
    "mnedge",
    cls=LazyNoun,
    children=NOUNS,
    epilog=(
        "A first run:\n\n"
        "\b\n  mnedge blueprint list\n  mnedge blueprint run message_routing_trace\n"
        "  mnedge job show last\n  mnedge docs quickstart\n\n"
        "Exit codes: 0 good, 1 failed, 2 usage, 13 not allowed, 130 interrupted."
    ),
)
@click.version_option(mnedge.__version__, "-V", "--version", message="%(prog)s %(version)s")
def root() -> None:
    """Run MirrorNeuron blueprints durably on this machine."""
