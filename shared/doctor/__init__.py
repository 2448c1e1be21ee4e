"""Whether a silo's data is in order, and bringing a restored silo back in step."""
