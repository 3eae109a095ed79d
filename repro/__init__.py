"""Experiments you can defend: immutable specs, a tamper-evident ledger, evidence by rule."""

__version__ = "0.1.0"
