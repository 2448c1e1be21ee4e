"""The control silo: what must be unique or known everywhere."""
