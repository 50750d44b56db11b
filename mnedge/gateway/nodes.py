"""How nodes are called by clients. This one knows no other."""

from mnedge.config.settings import Config
from mnedge.errors import NotFoundError


class NodeNotFoundError(NotFoundError):
    """No node is called so."""

    code = "node.not_found"


def refuse_other_nodes(name: str, config: Config) -> None:
    """Refuse what is meant for another node: there is only this one.

    Raises: NodeNotFoundError.
    """
    if name not in (config.node, node_name(config)):
        raise NodeNotFoundError(
            f"no node is called {name[:80]!r}", hint=f"this one is {node_name(config)}"
        )


def node_name(config: Config) -> str:
    """Return how clients call this node: their routes want an `@` in it."""
    return config.node if "@" in config.node else f"mnedge@{config.node}"
