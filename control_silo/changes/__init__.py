"""Changes of organizations that control and regions carry out together: provisions, renames, swaps."""
