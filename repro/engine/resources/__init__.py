"""Data and weights from elsewhere: fetched once, held to a pinned digest, kept in the cache."""

from repro.engine.resources.cache import fetch, how_to_get, present, read
from repro.engine.resources.resource import Resource, Source
from repro.engine.resources.table import TABLE

__all__ = ["TABLE", "Resource", "Source", "fetch", "how_to_get", "present", "read"]
