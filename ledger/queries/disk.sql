-- Disk use of artifacts by role; bytes that several records share count once
SELECT
    any_role AS role,
    count(*) AS num_artifacts,
    sum(size_bytes)::BIGINT AS size_bytes,
    round(sum(size_bytes) / 1e6, 1)::DOUBLE AS size_mb
FROM (
    SELECT sha256, min(role) AS any_role, any_value(size_bytes) AS size_bytes
    FROM artifacts
    GROUP BY sha256
)
GROUP BY any_role
ORDER BY size_bytes DESC
