"""The continuous comparison of control with each region: what is equal up to when, what differs, what is repaired."""
