"""Tools for export files, without a database and without a network: encrypt, decrypt, sanitize, compare.

Everything is streamed: whatever a file's size, memory stays bounded, and what a hostile file asks for has a limit.
"""
