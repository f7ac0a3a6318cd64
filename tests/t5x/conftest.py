"""Tests with upstream t5x, all skipped where it is not installed (the extra t5x)."""

import importlib.util

import pytest


@pytest.fixture(autouse=True, scope="session")
def _needs_t5x() -> None:
    if importlib.util.find_spec("t5x") is None:
        pytest.skip("t5x is not installed")


@pytest.fixture(autouse=True)
def _no_gin_left() -> None:
    import gin

    gin.clear_config()
