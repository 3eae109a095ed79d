-- Everything that was tried for the claim named $claim: all runs of its study, measured as its evidence is
-- The denominator of its newest verdict, evidence first; also runs that failed, and values that nobody names.
WITH chosen AS (
    SELECT if(count(*) > 0, $claim, error(concat('no verdict is on a claim named ', $claim))) AS claim
    FROM verdicts
    WHERE name = $claim
),
judged AS (
    SELECT study, admitted, refused
    FROM chosen
    LEFT JOIN verdicts ON verdicts.name = claim
    QUALIFY row_number() OVER (PARTITION BY study ORDER BY execution_id DESC, seq DESC) = 1
),
named AS (
    SELECT study, unnest(from_json(admitted, '["JSON"]')) AS one, 'admitted' AS used FROM judged
    UNION ALL
    SELECT study, unnest(from_json(refused, '["JSON"]')) AS one, 'refused' AS used FROM judged
),
evidence AS (
    SELECT DISTINCT
        named.study AS claim_study, named.used, executions.study, executions.purpose,
        measurements.*
    FROM named
    JOIN measurements
        ON measurements.execution_id = one->>'execution_id'
        AND measurements.seq = (one->>'seq')::BIGINT
    JOIN executions ON executions.execution_id = measurements.execution_id
),
ways AS (
    SELECT DISTINCT claim_study, study, purpose, metric, protocol_id, num_samples FROM evidence
),
tried AS (
    SELECT
        ways.*, runs.run_id, runs.title, results.evaluation, results.value, results.se,
        CASE
            WHEN num_done > 0 THEN 'done'
            WHEN num_failed > 0 THEN 'failed'
            WHEN num_interrupted > 0 THEN 'interrupted'
            ELSE 'open'
        END AS outcome,
        evidence.used
    FROM ways
    JOIN runs ON runs.study = ways.study AND runs.purpose = ways.purpose
    LEFT JOIN results
        ON results.run_id = runs.run_id AND results.purpose = runs.purpose
        AND results.metric = ways.metric AND results.protocol_id = ways.protocol_id
        AND results.num_samples = ways.num_samples
    LEFT JOIN evidence
        ON evidence.claim_study = ways.claim_study
        AND evidence.execution_id = results.measured_by
        AND evidence.stage_id = results.stage_id AND evidence.metric = results.metric
)
SELECT
    claim_study AS study,
    metric,
    left(protocol_id, 8) AS protocol,
    num_samples,
    coalesce(used, if(evaluation IS NULL, 'never measured', 'not named')) AS used,
    left(run_id, 8) AS run,
    title,
    outcome,
    evaluation,
    value,
    se
FROM tried
ORDER BY ALL
