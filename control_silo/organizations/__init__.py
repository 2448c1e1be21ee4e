"""The mapping of organizations to regions."""
