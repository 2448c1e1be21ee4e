"""What the doctor looks at in control, and how control comes back in step with regions."""
