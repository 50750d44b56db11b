"""What a node says of itself: logs, figures, traces, lineage, goals and alerts."""
