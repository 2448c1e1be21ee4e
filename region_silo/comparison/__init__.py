"""The region's part of the reconciliation: digests and rows for control, and telling control of organizations again."""
