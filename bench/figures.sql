-- Where the figures are collected, in the plain server's database "postgres".
CREATE SCHEMA bench;

CREATE TABLE bench.figure (
    ord int GENERATED ALWAYS AS IDENTITY,
    suite text NOT NULL,
    name text NOT NULL,
    measured numeric NOT NULL,
    unit text NOT NULL,
    baseline_name text,
    baseline numeric,
    ratio numeric,
    target text,
    met boolean
);

CREATE TABLE bench.rebuild_run (round int, variant text, events_per_second numeric);
CREATE TABLE bench.memory_run (round int, pid int, started_kb bigint, peak_kb bigint, samples int);
CREATE TABLE bench.append_run (clients int, round int, variant text, tps numeric);

CREATE FUNCTION bench.median(numeric[]) RETURNS numeric LANGUAGE sql IMMUTABLE AS
    $$SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x)::numeric FROM unnest($1) AS x$$;
