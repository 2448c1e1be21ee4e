"""Exports: files that hold what this region and control have, built in `work`, downloaded from `serve`."""
