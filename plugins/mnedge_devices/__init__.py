"""Device probes: what this machine has that a job may be lent."""
