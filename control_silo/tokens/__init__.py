"""Tokens: minted, revoked and replicated by control, which owns their rows."""
