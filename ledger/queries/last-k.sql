-- The last $k checkpoints of each evaluation: mean and spread, beside the last and the best of them
-- A best that lies within the spread is luck of the step at which training stopped.
WITH numbered AS (
    SELECT
        *,
        split_part(evaluation, '@', 1) AS entry,
        row_number() OVER (
            PARTITION BY run_id, split_part(evaluation, '@', 1), metric, protocol_id, num_samples
            ORDER BY checkpoint_step DESC
        ) AS from_last
    FROM results
    WHERE purpose = 'run' AND isfinite(value) AND checkpoint_step IS NOT NULL
)
SELECT
    left(run_id, 8) AS run,
    any_value(title) AS title,
    entry AS evaluation,
    metric,
    left(protocol_id, 8) AS protocol,
    num_samples,
    list(checkpoint_step ORDER BY checkpoint_step) AS steps,
    round(avg(value), 6) AS mean,
    round(stddev_samp(value), 6) AS sd,
    arg_max(value, checkpoint_step) AS last,
    if(metric IN ('isc', 'precision', 'recall'), max(value), min(value)) AS best
FROM numbered
WHERE from_last <= $k::BIGINT
GROUP BY run_id, entry, metric, protocol_id, num_samples
ORDER BY metric, protocol, num_samples, mean, run
