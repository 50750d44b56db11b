"""Graphs in the language of Graphviz."""

from collections.abc import Iterator, Sequence

from mnedge.bundle.drawing.graph import Arrow, Box, Graph

_SHAPES = {
    "router": "diamond",
    "aggregator": "house",
    "step_join": "house",
    "sensor": "hexagon",
    "service": "cylinder",
    "module": "component",
    "step_source": "cds",
    "step_sink": "cds",
}


def dot(graphs: Sequence[Graph], captions: Sequence[str], *, name: str) -> str:
    """Return one document; several graphs stand in it as clusters."""
    lines = [
        f"digraph {_quoted(name)} {{",
        "  rankdir=LR;",
        '  node [shape=box, style=rounded, fontname="sans-serif", fontsize=11];',
        '  edge [fontname="sans-serif", fontsize=9];',
    ]
    for index, (graph, caption) in enumerate(zip(graphs, captions, strict=True)):
        prefix = f"{graph.name}:" if len(graphs) > 1 else ""
        inner = list(_graph(graph, prefix))
        if len(graphs) > 1:
            lines += [f"  subgraph cluster_{index} {{", f"    label={_quoted(caption)};"]
            lines += [f"    {line}" for line in inner]
            lines.append("  }")
        else:
            lines += [f"  label={_quoted(caption)};", *(f"  {line}" for line in inner)]
    lines.append("}")
    return "\n".join(lines) + "\n"


def _graph(graph: Graph, prefix: str) -> Iterator[str]:
    groups: dict[str, list[Box]] = {}
    for box in graph.boxes:
        groups.setdefault(box.group, []).append(box)
    for index, (group, boxes) in enumerate(groups.items()):
        if group and len(boxes) > 1:
            yield f"subgraph {_quoted(f'cluster_{prefix}group_{index}')} {{"
            yield f"  label={_quoted(f'step {group}')}; style=dotted;"
            yield from (f"  {_box(box, prefix)}" for box in boxes)
            yield "}"
        else:
            yield from (_box(box, prefix) for box in boxes)
    yield from (_arrow(arrow, prefix) for arrow in graph.arrows)


def _box(box: Box, prefix: str) -> str:
    given = [f"label={_quoted(box.name, *box.lines)}"]
    if box.kind in _SHAPES:
        given.append(f"shape={_SHAPES[box.kind]}")
    styles = [] if box.kind in _SHAPES else ["rounded"]
    styles += ["bold"] if "start" in box.marks else []
    styles += ["dashed"] if "maybe" in box.marks else []
    given.append(f"style={_quoted(','.join(styles))}")
    if "end" in box.marks:
        given.append("peripheries=2")
    return f"{_quoted(prefix + box.box_id)} [{', '.join(given)}];"


def _arrow(arrow: Arrow, prefix: str) -> str:
    given = []
    if arrow.labels:
        given.append(f"label={_quoted(*arrow.labels)}")
    if arrow.maybe:
        given.append("style=dashed")
    told = f" [{', '.join(given)}]" if given else ""
    return f"{_quoted(prefix + arrow.source)} -> {_quoted(prefix + arrow.target)}{told};"


def _quoted(*lines: str) -> str:
    r"""Return a quoted string of these lines; a backslash in them is no escape."""
    escaped = (
        "".join(sign if sign.isprintable() else "�" for sign in line)
        .replace("\\", "\\\\")
        .replace('"', '\\"')
        for line in lines
    )
    return '"' + "\\n".join(escaped) + '"'
