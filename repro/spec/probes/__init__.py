"""Kinds of `[[probe]]`: one file for each."""
