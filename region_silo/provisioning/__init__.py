"""Organizations that control asks this region to make."""
