"""Tidewright: train once, apply many, decide."""

__version__ = "0.1.0"
