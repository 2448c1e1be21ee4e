"""The same world as the doctor's tests."""

from tests.integration.doctor.conftest import world

__all__ = ["world"]
