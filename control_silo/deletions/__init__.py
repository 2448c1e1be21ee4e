"""Deleting organizations: marked first, then purged in their region, then forgotten here."""
