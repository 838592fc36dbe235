-- How long a paused query takes for what it has missed, and how often it writes its states meanwhile.

-- The loop's states at the point where the queries stand.
CREATE FUNCTION bench.copy_states() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO bench.state SELECT id, state, position, updated_at FROM readmodel.customers_function;
END $$;

-- A checkpoint is written with the states and only then, and nothing else writes one meanwhile.
CREATE FUNCTION bench.checkpoints_written() RETURNS bigint
LANGUAGE sql AS $$SELECT pg_stat_get_tuples_updated('readmodel_catalog.checkpoint'::regclass)$$;

CREATE PROCEDURE bench.catch_up(query text, INOUT seconds numeric, INOUT flushes bigint)
LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz;
    before bigint := bench.checkpoints_written();
BEGIN
    COMMIT;
    started := clock_timestamp();
    PERFORM readmodel.resume(query);
    COMMIT;
    CALL bench.until_caught_up(query);
    seconds := round(extract(epoch FROM clock_timestamp() - started), 4);
    -- A process reports what it has done once it is idle, or ends.
    FOR i IN 1..150 LOOP
        COMMIT;
        flushes := bench.checkpoints_written() - before;
        EXIT WHEN flushes > 0 AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'pg_readmodel rebuild');
        PERFORM pg_sleep(0.02);
    END LOOP;
END $$;
