from tests.unit.admin.conftest import empty, house, portal

__all__ = ["empty", "house", "portal"]
