"""Bundled output skills: where alerts and results can be sent."""
