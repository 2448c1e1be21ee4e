"""Verifying an import: its file against what stands."""
