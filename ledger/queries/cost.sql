-- Cost against quality: seconds to make what was measured, and whether nothing cheaper is as good (on_front)
-- Training counts up to its checkpoint, by its share of the updates; of killed attempts no time is known.
-- What training builds on counts whole: a pretrained encoder's training, the encoding of latents.
WITH RECURSIVE rests_on AS (
    SELECT execution_id, stage_id AS measured, stage_id, stage_kind, done_by, inputs, false AS upstream
    FROM stages
    WHERE stage_kind = 'evaluate'
    UNION
    SELECT
        stages.execution_id, measured, stages.stage_id, stages.stage_kind, stages.done_by,
        stages.inputs, upstream OR rests_on.stage_kind = 'train'
    FROM rests_on
    JOIN stages
        ON stages.execution_id = rests_on.execution_id
        AND list_contains(from_json(rests_on.inputs, '["VARCHAR"]'), stages.stage_id)
),
trained AS (
    SELECT execution_id, stage_id, max(step) AS last_step
    FROM checkpoints
    GROUP BY ALL
),
costs AS (
    SELECT
        rests_on.execution_id,
        rests_on.measured,
        sum(elapsed_s) FILTER (rests_on.stage_kind = 'train' AND NOT upstream) AS whole_training_s,
        max(last_step) FILTER (rests_on.stage_kind = 'train' AND NOT upstream) AS last_step,
        coalesce(
            sum(elapsed_s) FILTER (
                rests_on.stage_kind IN ('encode', 'encoder', 'export')
                OR (rests_on.stage_kind = 'train' AND upstream)
            ),
            0
        ) AS encoder_s,
        sum(elapsed_s) FILTER (rests_on.stage_kind = 'sample') AS sample_s
    FROM rests_on
    JOIN stage_events
        ON stage_events.execution_id = rests_on.done_by
        AND stage_events.stage_id = rests_on.stage_id
        AND stage_events.event = 'done'
    LEFT JOIN trained
        ON trained.execution_id = rests_on.done_by AND trained.stage_id = rests_on.stage_id
    GROUP BY ALL
),
measured AS (
    SELECT DISTINCT ON (measured_by, stage_id, metric)
        *, if(metric IN ('isc', 'precision', 'recall'), -value, value) AS badness
    FROM results
    WHERE purpose = 'run' AND isfinite(value) AND checkpoint_step IS NOT NULL
    ORDER BY reused, execution_id, evaluation
),
priced AS (
    SELECT
        measured.*,
        encoder_s + whole_training_s * checkpoint_step / last_step AS train_s,
        sample_s,
        train_s + sample_s AS cost_s
    FROM measured
    JOIN costs
        ON costs.execution_id = measured.execution_id AND costs.measured = measured.stage_id
)
SELECT
    metric,
    left(protocol_id, 8) AS protocol,
    num_samples,
    round(cost_s, 1) AS cost_s,
    round(train_s, 1) AS train_s,
    round(sample_s, 1) AS sample_s,
    value,
    se,
    badness < coalesce(
        min(badness) OVER (
            PARTITION BY metric, protocol_id, num_samples ORDER BY priced.cost_s, badness
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ),
        'infinity'
    ) AS on_front,
    left(run_id, 8) AS run,
    title,
    evaluation
FROM priced
ORDER BY metric, protocol, num_samples, priced.cost_s, badness
