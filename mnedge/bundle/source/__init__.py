"""Authoring sources: written by people, expanded here into workflow manifests."""
