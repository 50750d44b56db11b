"""Plugins: the bundled ones, and those from outside that an operator let in."""
