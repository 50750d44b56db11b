"""The REST API: one table of routes, and a file of routes for each noun."""
