"""What integrations are to tell others, as regions announced it."""
