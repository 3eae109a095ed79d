"""What verification finds."""

from attrs import frozen


@frozen(kw_only=True)
class Finding:
    """Something that is not as it was recorded.

    `file` is relative to the ledger; `record` is a sequence number in the segment that is meant.
    """

    file: str
    record: int | None = None
    problem: str
    expected: str
    found: str

    def __str__(self) -> str:
        place = self.file if self.record is None else f"{self.file}: record {self.record}"
        return f"{place}: {self.problem}: expected {self.expected}, found {self.found}"
