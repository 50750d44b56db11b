"""Connectors: ways to read from outside systems."""
