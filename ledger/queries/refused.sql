-- What must not be trusted: failed calibrations and evidence that a gate refused
SELECT
    calibrations.recorded_at,
    'calibration' AS source,
    executions.study,
    executions.title AS subject,
    CASE WHEN allow_biased THEN 'biased, and allowed to be' ELSE 'failed' END AS reason,
    calibrations.facts AS details
FROM calibrations
JOIN executions USING (execution_id)
WHERE NOT passed
UNION ALL
SELECT
    recorded_at,
    'claim' AS source,
    study,
    name AS subject,
    verdict AS reason,
    unnest(from_json(refused, '["JSON"]')) AS details
FROM verdicts
ORDER BY recorded_at DESC
