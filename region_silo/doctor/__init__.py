"""What the doctor looks at in a region, and how a region comes back in step with control."""
