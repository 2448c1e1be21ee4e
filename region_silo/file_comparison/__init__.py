"""Comparing two files that the region has: of exports, and of imports as they were uploaded."""
