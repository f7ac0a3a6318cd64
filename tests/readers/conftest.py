"""Runs the tests of a table's class over its readers, by their names."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # damage.py is shared


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "reader" in metafunc.fixturenames:
        metafunc.parametrize("reader", metafunc.cls.readers, ids=lambda reader: reader.name)
