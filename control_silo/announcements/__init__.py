"""What regions announce to integrations: kept once each, and listed in the order of arrival."""
