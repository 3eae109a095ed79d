"""Every error that a person can fix.

Our exception hierarchy:

    ReproError                  one line on standard error, exit status 2
      SpecError                 a spec file says something that cannot be run
      ResourceError             data or weights are missing, damaged or cannot be fetched
      RunError                  a stage cannot go on (exit status 1: the run failed)
      LedgerError               the ledger cannot be read or written
        IntegrityError          a record, seal or artifact is not what was recorded (exit status 1)
      ClaimError                a claims file says something that cannot be checked
      QueryError                a SQL statement was refused or failed

A message names the place, the value and the rule, and says what to do. `problems` holds one such
line per mistake, so that a file with five mistakes is corrected once.
"""

from collections.abc import Sequence


class ReproError(Exception):
    """Something that the user can fix; printed without a traceback."""

    exit_status = 2

    def __init__(self, *problems: str) -> None:
        self.problems: Sequence[str] = problems
        super().__init__("\n".join(problems))


class SpecError(ReproError):
    """A spec file says something that cannot be run."""


class ResourceError(ReproError):
    """Data or weights are missing, damaged or cannot be fetched."""


class RunError(ReproError):
    """A stage cannot go on."""

    exit_status = 1


class LedgerError(ReproError):
    """The ledger cannot be read or written."""


class IntegrityError(LedgerError):
    """Something in the ledger is not what was recorded."""

    exit_status = 1


class ClaimError(ReproError):
    """A claims file says something that cannot be checked."""


class QueryError(ReproError):
    """A SQL statement was refused or failed."""
