-- What changed between two runs: each value of spec, code, environment, results; $old, $new: how ids begin
-- Of each the newest execution, one that ended well first. `repro diff` also says which results stand out of noise.
WITH named(side, beginning) AS (VALUES ('old', $old), ('new', $new)),
chosen AS (
    SELECT
        side,
        if(
            count(DISTINCT run_id) = 1,
            max_by(execution_id, (purpose = 'run', outcome = 'done', execution_id)),
            error(concat('$', side, ' fits ', count(DISTINCT run_id), ' runs, expected one'))
        ) AS execution_id
    FROM named
    LEFT JOIN executions
        ON purpose IN ('run', 'rehearsal')
        AND (starts_with(run_id, beginning) OR starts_with(execution_id, beginning))
    GROUP BY side
),
said AS (
    SELECT side, 'spec' AS part, canonical_spec::JSON AS facts
    FROM chosen JOIN starts USING (execution_id)
    UNION ALL
    SELECT side, provider AS part, value AS facts
    FROM chosen JOIN provenance USING (execution_id)
    UNION ALL
    SELECT
        side, 'results' AS part,
        json_group_object(concat(stages.name, ' ', metric), measurements.value) AS facts
    FROM chosen
    JOIN stages USING (execution_id)
    JOIN measurements
        ON measurements.execution_id = stages.done_by
        AND measurements.stage_id = stages.stage_id
    GROUP BY side
),
leaves AS (
    SELECT side, part, trim(substr(fullkey, 3), '"') AS path, tree.value
    FROM said, json_tree(facts) AS tree
    WHERE tree.type NOT IN ('OBJECT', 'ARRAY') OR tree.value IN ('[]', '{}')
),
old AS (SELECT part, path, value FROM leaves WHERE side = 'old'),
new AS (SELECT part, path, value FROM leaves WHERE side = 'new')
SELECT part, path, old.value AS old, new.value AS new
FROM old
FULL JOIN new USING (part, path)
WHERE old.value IS DISTINCT FROM new.value
ORDER BY part <> 'spec', part NOT IN ('git', 'source'), part = 'results', part, path
