"""Slug reservations: who holds which organization slug, in all regions."""
