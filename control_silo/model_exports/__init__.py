"""Hands the rows of control's models to the regions that export them."""
