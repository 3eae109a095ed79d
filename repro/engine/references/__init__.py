"""Reference statistics that come with the package; specs/references says how each was made."""

from pathlib import Path


def shipped_path(name: str) -> Path:
    """Where the installed package keeps the statistics of this name."""
    return Path(__file__).parent / f"{name}.safetensors"
