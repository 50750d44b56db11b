"""Physical work: slots, workspaces, processes, and what comes back from them."""
