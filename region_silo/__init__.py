"""A region silo: what belongs to the organizations of one region."""
