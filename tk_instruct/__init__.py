"""Instruction-tunes T5-family models and measures them on unseen tasks."""

__version__ = "0.1.0"
