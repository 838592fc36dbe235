-- After a start: when this session came, when the query was ready, and when its first state was read (ms since 1970), how many
-- events were read again, and that state.
CREATE PROCEDURE bench.first_answer(INOUT connected numeric DEFAULT NULL, INOUT ready numeric DEFAULT NULL,
    INOUT answered numeric DEFAULT NULL, INOUT read_again bigint DEFAULT NULL, INOUT state text DEFAULT NULL)
LANGUAGE plpgsql AS $$
BEGIN
    connected := 1000 * extract(epoch FROM clock_timestamp());
    FOR i IN 1..30000 LOOP
        COMMIT;
        EXIT WHEN readmodel.ready(ARRAY['counters']);
        PERFORM pg_sleep(0.001);
    END LOOP;
    ready := 1000 * extract(epoch FROM clock_timestamp());
    state := replace(readmodel.get('counters', 'instance-7')::text, ' ', '');
    answered := 1000 * extract(epoch FROM clock_timestamp());
    SELECT events_read INTO read_again FROM readmodel.source_status();
END $$;
