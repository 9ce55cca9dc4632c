"""Comparing samplers: from runs in the database to a table and figures."""
