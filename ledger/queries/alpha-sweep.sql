-- Every metric over the guidance scale alpha, with 95 % intervals: a curve a run, checkpoint, protocol
-- The interval is of one set of images; to choose among many alphas, compare by `repro report`.
WITH evaluations AS (
    SELECT
        run_id,
        unnest(from_json(
            canonical_spec->'$.evaluate',
            '[{"name": "VARCHAR", "sample": {"sampler": {"alpha": "DOUBLE"}}}]'
        )) AS evaluate
    FROM runs
    WHERE purpose = 'run'
)
SELECT
    left(results.run_id, 8) AS run,
    results.title,
    results.checkpoint_step,
    results.metric,
    left(results.protocol_id, 8) AS protocol,
    results.num_samples,
    evaluate.sample.sampler.alpha AS alpha,
    results.value,
    results.se,
    round(results.value - 1.96 * results.se, 6) AS low,
    round(results.value + 1.96 * results.se, 6) AS high
FROM results
JOIN evaluations
    ON evaluations.run_id = results.run_id
    AND evaluate.name = split_part(results.evaluation, '@', 1)
WHERE results.purpose = 'run' AND alpha IS NOT NULL
ORDER BY metric, protocol, num_samples, run, checkpoint_step, alpha
