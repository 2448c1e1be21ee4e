"""Fetching a release's commits from the repositories that its refs name."""
