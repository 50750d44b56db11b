"""The graphs of a job, laid out and drawn: as text, as SVG, for Graphviz."""
