"""The users that this region's organizations have, as control tells of them."""
