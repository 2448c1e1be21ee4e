"""The same importers as the integration tests'."""

from tests.integration.imports.conftest import make_stack, stack

__all__ = ["make_stack", "stack"]
