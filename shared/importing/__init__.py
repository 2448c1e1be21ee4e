"""From uploaded bytes to checked, decoded rows, without a database: scanner, spool, index, model registry, rows.

Both silos read with it: the region what was uploaded, control what is handed over to it.
"""
