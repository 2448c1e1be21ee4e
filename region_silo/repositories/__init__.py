"""Repositories of source code, their commits and pull requests."""
