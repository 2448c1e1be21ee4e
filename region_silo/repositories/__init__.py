"""Repositories of source code, and their pull requests."""
