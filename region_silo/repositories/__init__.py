"""Repositories of source code, and the commits that they have."""
