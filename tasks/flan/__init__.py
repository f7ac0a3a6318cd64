"""FLAN 2021 (in the making)."""
