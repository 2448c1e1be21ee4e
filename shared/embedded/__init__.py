"""The local stack: PostgreSQL, Redis and the silos on one machine, for `make run` and for the tests."""
