"""Claims and verdicts on the record: appended when they are new or have changed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from repro import digest
from repro.ledger import records
from repro.ledger.database import query
from repro.ledger.segment import begin
from repro.report.claims import claim_digest, condition
from repro.report.verdict import Admitted, Judgement, Refused

Record = records.Claim | records.Verdict


@frozen(kw_only=True)
class Dates:
    """When the ledger first held a claim as it stands, and when it took its present verdict."""

    claimed_at: str
    judged_at: str


def keep(root: Path, study: str, judgements: Sequence[Judgement]) -> dict[str, Dates]:
    """Append what is new; return the dates of every claim, by its name."""
    known = _known(root, study)
    fresh = [
        record
        for judgement in judgements
        for record in (_claim(study, judgement), _verdict(study, judgement))
        if _key(record) not in known
    ]
    if fresh:
        with begin(root, records.Start(purpose="report", study=study)) as segment:
            for record in fresh:
                segment.append(record)
        known = _known(root, study)
    return {
        each.claim.name: Dates(
            claimed_at=known[_key(_claim(study, each))],
            judged_at=known[_key(_verdict(study, each))],
        )
        for each in judgements
    }


def _known(root: Path, study: str) -> dict[tuple[str, ...], str]:
    """When each claim first stood as it does, and each present verdict was first given."""
    claims = query(
        root,
        "SELECT name, claim_digest, min(recorded_at) FROM claims WHERE study = ?"
        " GROUP BY name, claim_digest",
        [study],
    )
    verdicts = query(
        root,
        "SELECT name, claim_digest, verdict, facts->>'evidence', recorded_at FROM verdicts"
        " WHERE study = ? QUALIFY row_number() OVER"
        " (PARTITION BY name ORDER BY execution_id DESC, seq DESC) = 1",
        [study],
    )
    return {tuple(key): str(time) for *key, time in (*claims.rows, *verdicts.rows)}


def _key(record: Record) -> tuple[str, ...]:
    if isinstance(record, records.Claim):
        return record.name, record.claim_digest
    return record.name, record.claim_digest, record.verdict, str(record.facts["evidence"])


def _claim(study: str, judgement: Judgement) -> records.Claim:
    claim = judgement.claim
    return records.Claim(
        study=study,
        name=claim.name,
        text=claim.text,
        condition=condition(claim),
        claim_digest=claim_digest(claim),
    )


def _verdict(study: str, judgement: Judgement) -> records.Verdict:
    admitted = tuple(_admitted(each) for each in judgement.admitted)
    refused = tuple(_refused(each) for each in judgement.refused)
    # Reasons may name folders of this machine; which rule refused what is the verdict.
    evidence = (admitted, [{**each, "rules": list(each["rules"])} for each in refused])
    return records.Verdict(
        study=study,
        name=judgement.claim.name,
        claim_digest=claim_digest(judgement.claim),
        verdict=judgement.verdict,
        admitted=admitted,
        refused=refused,
        facts={
            "why": judgement.why,
            "checked": judgement.checked,
            "expected": judgement.claim.expect,
            "evidence": digest.xxh3_128(digest.canonical(evidence)),
        },
    )


def _admitted(admitted: Admitted) -> dict[str, Any]:
    row = admitted.row
    return {"side": admitted.side, "execution_id": row.execution_id, "seq": row.seq}


def _refused(refused: Refused) -> dict[str, Any]:
    row = refused.row
    return {
        "side": refused.side,
        "execution_id": row.execution_id if row else None,
        "seq": row.seq if row else None,
        "rules": {each.rule: each.reason for each in refused.refusals},
    }
