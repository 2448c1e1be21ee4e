"""Who belongs to which organization: control's mirror of what the regions decide."""
