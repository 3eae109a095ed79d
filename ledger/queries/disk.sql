-- Disk use of artifacts, by role; bytes that several records share count once, removed ones not at all
-- Of an artifact that was removed, only an execution that has made it anew since counts.
WITH removed AS (
    SELECT sha256, unnest(from_json(facts->'$.executions', '["VARCHAR"]')) AS execution_id
    FROM tombstones
)
SELECT
    any_role AS role,
    count(*) AS num_artifacts,
    sum(size_bytes)::BIGINT AS size_bytes,
    round(sum(size_bytes) / 1e6, 1)::DOUBLE AS size_mb
FROM (
    SELECT sha256, min(role) AS any_role, any_value(size_bytes) AS size_bytes
    FROM artifacts
    ANTI JOIN removed USING (sha256, execution_id)
    GROUP BY sha256
)
GROUP BY any_role
ORDER BY size_bytes DESC
