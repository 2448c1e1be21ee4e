"""Snowflake ids: what an id is made of, and who may give out which."""
