"""The doors: method table, interceptors, server, channel to another silo, and what they tell the outside."""
