"""Imports of export files: upload, the run that writes them, and what is told about them."""
