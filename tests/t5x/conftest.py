"""Tests with upstream t5x, all skipped where it is not installed (the extra t5x)."""

import importlib.util
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def _needs_t5x() -> None:
    if importlib.util.find_spec("t5x") is None:
        pytest.skip("t5x is not installed")


@pytest.fixture(autouse=True)
def _only_our_t5_config() -> Iterator[None]:
    """t5x's would make ours ambiguous to later tests."""
    import gin

    yield
    for original, configurable in list(gin.config._INVERSE_REGISTRY.items()):
        if configurable.selector.endswith("network.T5Config"):
            gin.config._REGISTRY.pop(configurable.selector)
            del gin.config._INVERSE_REGISTRY[original]
