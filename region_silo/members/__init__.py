"""Members and teams of the region's organizations, and which projects a user may see because of them."""
