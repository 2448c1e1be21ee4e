"""The directory of regions."""
