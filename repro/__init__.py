"""Experiments you can defend: immutable specs, a tamper-evident ledger, evidence that is admitted by rule."""

__version__ = "0.1.0"
