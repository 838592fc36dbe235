-- What the nine queries that nobody has changed look like, several times a second.
CREATE TABLE bench.phase (name text, at timestamptz DEFAULT clock_timestamp());
CREATE TABLE bench.other (at timestamptz, not_ready int, least_position bigint, most_lag bigint);

CREATE FUNCTION bench.look_at_others() RETURNS void
LANGUAGE sql AS $$
    INSERT INTO bench.other
    SELECT clock_timestamp(), count(*) FILTER (WHERE status <> 'ready'), min(position), max(lag)
    FROM readmodel.status() WHERE name <> 'query_5'$$;

CREATE FUNCTION bench.others(OUT first bigint, OUT last bigint, OUT not_ready bigint, OUT went_back bigint, OUT before numeric, OUT during numeric)
LANGUAGE sql AS $$
    SELECT min(least_position), max(least_position), count(*) FILTER (WHERE not_ready > 0), count(*) FILTER (WHERE least_position < preceding),
           coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY most_lag) FILTER (WHERE at < began)::numeric, 0),
           coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY most_lag) FILTER (WHERE at BETWEEN began AND ended)::numeric, 0)
    FROM (SELECT *, lag(least_position) OVER (ORDER BY at) AS preceding FROM bench.other) AS look,
         (SELECT min(at) AS began, max(at) AS ended FROM bench.phase) AS phase$$;
