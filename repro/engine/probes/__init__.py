"""Measurements of a network itself: one file for each."""
