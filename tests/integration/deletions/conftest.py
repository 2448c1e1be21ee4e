"""The same silos as the conversation's tests."""

from tests.integration.callbacks.conftest import silos

__all__ = ["silos"]
