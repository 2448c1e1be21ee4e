"""Deploys of releases to environments, and announcing each once."""
