"""Releases and the commits that they carry."""
