"""Benchmarks: what the system costs over floors that are measured in the same run."""
