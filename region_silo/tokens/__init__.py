"""The replica of control's tokens, by which the region checks calls."""
