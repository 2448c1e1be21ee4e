"""What both silos need to compare their rows: kinds, ranges of keys, digests, and the statements that make them."""
