"""New organizations: control holds the slug, a region makes the organization, control writes down the outcome."""
