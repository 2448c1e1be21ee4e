"""Machinery that knows no silo: doors, database, outbox, requests, ids, imports, the local stack."""
