"""The same importers as the integration tests'."""

from tests.integration.imports.conftest import doors, make_stack, stack

__all__ = ["doors", "make_stack", "stack"]
