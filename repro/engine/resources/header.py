"""What the head of a safetensors file says, read without loading anything."""

import json
from pathlib import Path

LIMIT_BYTES = 100_000_000
"""What the format allows; a longer head is not one."""


def read_metadata(path: Path) -> dict[str, str] | None:
    """The free text in the head; None when the file is missing or not of the right size."""
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            head_bytes = int.from_bytes(file.read(8), "little")
            if head_bytes > min(size_bytes, LIMIT_BYTES):
                return None
            head = json.loads(file.read(head_bytes))
        metadata = dict(head.pop("__metadata__", {}))
        body_bytes = max((each["data_offsets"][1] for each in head.values()), default=0)
    except (OSError, ValueError, TypeError, AttributeError, LookupError):
        return None
    return metadata if size_bytes == 8 + head_bytes + body_bytes else None
