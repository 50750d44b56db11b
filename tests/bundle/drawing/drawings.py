"""Graphs to draw, written in short."""

from mnedge.bundle.drawing.graph import Arrow, Box, Graph


def graph(text, *, name="agents", **boxes):
    """Return a graph from lines such as `a -> b c: label`; one without an arrow is a box alone.

    `boxes` says by name what a box looks like.
    """
    names: dict[str, None] = {}
    arrows = []
    for line in filter(None, map(str.strip, text.splitlines())):
        way, _, label = line.partition(": ")
        source, _, targets = way.partition(" -> ")
        for one in (source, *targets.split()):
            names.setdefault(one)
        labels = [label] if label else []
        arrows += [Arrow(source=source, target=one, labels=labels) for one in targets.split()]
    made = [
        Box(**({"box_id": one, "name": one, "kind": "router"} | boxes.get(one, {})))
        for one in names
    ]
    return Graph(name=name, boxes=made, arrows=arrows)


LINEAR = "a -> b\nb -> c"
FORK_JOIN = "start -> left middle right\nleft -> end\nmiddle -> end\nright -> end"
CIRCLE = "ask -> try: asked\ntry -> judge: tried\njudge -> ask: again\njudge -> done: good"
WIDE = "\n".join(
    [
        "split -> " + " ".join(f"w_{n}" for n in range(1, 101)),
        *(f"w_{n} -> join" for n in range(1, 101)),
    ]
)
