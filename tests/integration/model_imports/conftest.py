"""The same control as the importer's tests'."""

from tests.integration.imports.conftest import make_stack, stack

__all__ = ["make_stack", "stack"]
