-- Runs executed in different environments: which provider said what, when
WITH told AS (
    SELECT
        executions.run_id,
        provenance.provider,
        provenance.value,
        min(executions.started_at) AS first_started_at,
        count(*) AS num_executions
    FROM provenance
    JOIN executions USING (execution_id)
    WHERE executions.run_id IS NOT NULL AND provenance.provider <> 'command'
    GROUP BY ALL
)
SELECT
    run_id,
    provider,
    count(*) OVER (PARTITION BY run_id, provider) AS num_variants,
    first_started_at,
    num_executions,
    value
FROM told
QUALIFY num_variants > 1
ORDER BY run_id, provider, first_started_at
