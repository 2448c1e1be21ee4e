"""The Django application whose models the export files name."""
