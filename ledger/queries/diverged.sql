-- Equal work, different bytes: stages whose executions left different digests under one name
SELECT
    artifacts.stage_id,
    artifacts.role,
    artifacts.name,
    count(DISTINCT artifacts.sha256) AS num_digests,
    count(DISTINCT artifacts.execution_id) AS num_executions,
    list(DISTINCT executions.host) AS hosts,
    min(executions.started_at) AS first_started_at,
    max(executions.started_at) AS last_started_at
FROM artifacts
JOIN executions USING (execution_id)
WHERE artifacts.stage_id IS NOT NULL
GROUP BY ALL
HAVING num_digests > 1
ORDER BY last_started_at DESC
