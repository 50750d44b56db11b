"""What `blueprint compile` says and draws."""

import sys
from pathlib import Path
from typing import Any

from msgspec import Struct
from rich.text import Text

from mnedge.bundle.compiled import ir_document
from mnedge.bundle.drawing import folding
from mnedge.bundle.drawing.dot import dot
from mnedge.bundle.drawing.graph import Graph
from mnedge.bundle.drawing.graphs import agents_graph, steps_graph
from mnedge.bundle.drawing.listing import listing
from mnedge.bundle.drawing.place import placed
from mnedge.bundle.drawing.sketch import Piece, sketch
from mnedge.bundle.drawing.svg import svg
from mnedge.bundle.load import open_bundle
from mnedge.cli import validation
from mnedge.cli.screen import Screen
from mnedge.cli.show import as_document, as_line, counted, harmless
from mnedge.cli.verbs import Asked
from mnedge.model.manifest import JobSpec

READABLE_CELLS = 120
"""How wide a drawing may be where no terminal says so."""
STYLES = {"name": "bold", "note": "dim", "label": "cyan", "layer": "dim", "line": "dim"}
INDENT = "    "


class Wanted(Struct, frozen=True, kw_only=True):
    """What was asked for."""

    graph: str = "both"
    out: Path | None = None
    run_code: bool = True
    """As for `open_bundle`."""


def tell(asked: Asked, path: Path, wanted: Wanted) -> int:
    """Print or write what the bundle comes to; of one with errors every problem, and return 1."""
    form = {"human": "text"}.get(asked.output, asked.output)
    drawn = form in ("dot", "svg")
    asked = asked._replace(output="human" if drawn or form == "text" else form)
    with open_bundle(path, run_code=wanted.run_code) as bundle:
        spec = bundle.spec
        if bundle.errors or spec is None:
            # What is to be drawn goes to a file or another program: it gets no problems to read.
            told = Screen(asked, sys.stderr if drawn else None)
            return validation.tell(told, path, "default", run_code=wanted.run_code)
    screen = Screen(asked)
    graphs = [
        graph if asked.verbose else folding.folded(graph) for graph in graphs_of(spec, wanted.graph)
    ]
    captions = [caption(spec, graph) for graph in graphs]
    match form:
        case "json" | "ndjson":
            said = as_document if form == "json" else as_line
            _hand_over(screen, said(document(spec, wanted.graph)) + "\n", wanted.out)
        case "dot":
            _hand_over(screen, dot(graphs, captions, name=spec.graph_id), wanted.out)
        case "svg":
            pictures = [placed(graph) for graph in graphs]
            _hand_over(screen, svg(pictures, captions), wanted.out)
        case _ if wanted.out is not None:
            lines = [harmless(line).plain for line in text(spec, graphs, READABLE_CELLS)]
            _hand_over(screen, "\n".join(lines) + "\n", wanted.out)
        case _:
            screen.say(*text(spec, graphs, screen.width or READABLE_CELLS))
    return 0


def graphs_of(spec: JobSpec, which: str) -> list[Graph]:
    """Return the graphs by name; a job without steps has only one."""
    graphs = [steps_graph(spec), agents_graph(spec)]
    kept = [graph for graph in graphs if which in (graph.name, "both")]
    return [graph for graph in kept if graph.boxes or which != "both"]


def document(spec: JobSpec, which: str) -> dict[str, Any]:
    """Return the job as a lowered manifest, with its graphs besides."""
    graphs = [steps_graph(spec), agents_graph(spec)]
    return {
        **ir_document(spec),
        "graphs": {
            graph.name: graph.document() for graph in graphs if which in (graph.name, "both")
        },
    }


def caption(spec: JobSpec, graph: Graph) -> str:
    """Return what stands above a graph."""
    if not graph.boxes:
        return f"{spec.graph_id}: no steps"
    made = sum(box.count for box in graph.boxes if "maybe" in box.marks)
    boxes = counted(sum(box.count for box in graph.boxes) - made, graph.name[:-1])
    return f"{spec.graph_id}: {boxes}" + (f", {counted(made, 'template')}" if made else "")


def text(spec: JobSpec, graphs: list[Graph], width: int) -> list[Text]:
    """Return everything as lines for a terminal of this width."""
    facts = [
        f"generation {spec.generation}",
        spec.job_type,
        counted(len(spec.agents), "agent"),
        counted(len(spec.edges), "edge"),
        *([counted(len(spec.workflow.steps), "step")] if spec.workflow else []),
    ]
    lines = [Text.assemble((spec.graph_id, "bold"), ("  " + ", ".join(facts), "dim"))]
    for graph in graphs:
        lines += [Text(), *_graph(spec, graph, width)]
    return lines


def _graph(spec: JobSpec, graph: Graph, width: int) -> list[Text]:
    if not graph.boxes:
        return [Text("no steps: messages alone move this job", "dim")]
    title = Text(graph.name, "bold underline")
    workflow = spec.workflow
    if graph.name == "steps" and workflow is not None and not workflow.controlling:
        title.append("  (no agent works for them: they only decorate)", "dim")
    lines = [title, Text()]
    drawing = sketch(graph, width=width - len(INDENT))
    if drawing is not None and graph.arrows:
        lines += [Text(INDENT) + _line(line) for line in drawing]
        lines.append(Text())
    return lines + [_line(line) for line in listing(graph)]


def _line(pieces: list[Piece]) -> Text:
    return Text.assemble(*((text, STYLES.get(role, "")) for text, role in pieces))


def _hand_over(screen: Screen, content: str, out: Path | None) -> None:
    if out is None:
        screen.stream.write(content)
        return
    out.write_text(content, encoding="utf-8")
    screen.good(f"written to {out}")
