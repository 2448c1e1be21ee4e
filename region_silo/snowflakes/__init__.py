"""Snowflake ids for clients: taking new ones and taking one apart."""
