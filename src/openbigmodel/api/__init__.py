"""The public HTTP API: one file for each resource, one table of routes."""
