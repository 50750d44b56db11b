"""Runners that come with mnedge."""
