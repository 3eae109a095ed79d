"""Claims and verdicts on the record."""

from datetime import UTC, datetime, timedelta

from repro.ledger import query
from repro.ledger.records import Start, Verdict
from repro.ledger.segment import begin
from repro.report.claims import Threshold, claim_digest
from repro.report.journal import keep
from repro.report.verdict import Judgement

CLAIM = Threshold(
    name="good", text="It is good.", metric="fid", side="a:last", relation="below", value=3.0
)
UNPROVEN = Judgement(claim=CLAIM, verdict="unproven", why="Nothing was measured.")


def test_the_present_verdict_is_the_one_that_came_last(tmp_path):
    """A verdict from before the clock was set back is a verdict of before."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    with begin(tmp_path, Start(purpose="report", study="toy"), now=lambda: tomorrow) as segment:
        digest = claim_digest(CLAIM)
        segment.append(Verdict(study="toy", name="good", claim_digest=digest, verdict="refuted"))

    dates = keep(tmp_path, "toy", [UNPROVEN])
    again = keep(tmp_path, "toy", [UNPROVEN])

    assert dates == again
    assert dates["good"].judged_at < f"{tomorrow:%Y-%m-%d}"
    verdicts = query(tmp_path, "SELECT verdict FROM verdicts ORDER BY execution_id, seq").rows
    assert verdicts == (("refuted",), ("unproven",))
