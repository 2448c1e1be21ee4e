"""Exports: what of each model goes, how its rows are read in one snapshot, and how they become a file.

Nothing here knows a silo: a silo says how its models are read (readings) and adds its own conditions.
"""
