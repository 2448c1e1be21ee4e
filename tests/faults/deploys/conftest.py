"""The same organization with both doors as the tests of announcing."""

from tests.integration.deploys.conftest import announcing, silos

__all__ = ["announcing", "silos"]
