"""Rows of control's models as regions' importers hand them over: users and their addresses."""
