"""Sending clients to the region that owns what they ask for."""
