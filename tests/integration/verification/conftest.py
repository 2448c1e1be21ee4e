"""Importers on fresh databases of both silos, with the region's public door and control's internal one."""

from tests.integration.imports.conftest import doors, make_stack, stack

__all__ = ["doors", "make_stack", "stack"]
