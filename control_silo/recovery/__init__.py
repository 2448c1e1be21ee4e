"""Regions that are declared lost, and their return."""
