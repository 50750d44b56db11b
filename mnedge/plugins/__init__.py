"""Plugins: the bundled ones, those that operators add, and the typed way to ask them."""
