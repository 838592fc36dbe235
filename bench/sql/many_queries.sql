-- A hundred types of events, and queries over one of them each, or over all.
CREATE FUNCTION bench.types() RETURNS text[]
LANGUAGE sql IMMUTABLE AS $$SELECT array_agg('T' || i) FROM generate_series(0, 99) AS i$$;

-- wanted: one (over all types), hundred (one type each), ten (all types each)
CREATE PROCEDURE bench.define_many(wanted text, kind text)
LANGUAGE plpgsql AS $$
BEGIN
    CASE wanted
        WHEN 'one' THEN
            PERFORM bench.define_counter('query_1', kind, bench.types());
        WHEN 'hundred' THEN
            PERFORM bench.define_counter('query_' || i, kind, ARRAY['T' || i]) FROM generate_series(0, 99) AS i;
        WHEN 'ten' THEN
            PERFORM bench.define_counter('query_' || i, kind, bench.types()) FROM generate_series(1, 10) AS i;
    END CASE;
    COMMIT;
    CALL bench.until_ready('');
END $$;

-- Microseconds an event, from the commit of the last burst of events to the commit of the last state that it changed.
CREATE FUNCTION bench.microseconds_of_last_burst(burst bigint) RETURNS numeric
LANGUAGE plpgsql AS $$
DECLARE
    states regclass;
    latest timestamptz;
    one timestamptz;
BEGIN
    FOR states IN SELECT readmodel.state_table(name) FROM readmodel.status() LOOP
        EXECUTE format('SELECT max(pg_xact_commit_timestamp(xmin)) FROM %s', states) INTO one;
        latest := greatest(latest, one);
    END LOOP;
    RETURN round(1000000 * extract(epoch FROM latest -
        (SELECT pg_xact_commit_timestamp(xmin) FROM log.events ORDER BY position DESC LIMIT 1)) / burst, 3);
END $$;

-- Every query's states against those of its events.
CREATE PROCEDURE bench.check_many(wanted text)
LANGUAGE plpgsql AS $$
DECLARE
    one record;
BEGIN
    CREATE TABLE bench.counters AS SELECT * FROM log.counter_oracle;
    FOR one IN SELECT name, readmodel.state_table(name) AS states FROM readmodel.status() LOOP
        IF wanted = 'hundred' THEN
            -- The instances of a type are its own.
            IF bench.differing(one.states, 'bench.counters')
                <> (SELECT count(*) FROM bench.counters WHERE substring(id FROM '\d+')::int % 100 <> substring(one.name FROM '\d+')::int) THEN
                RAISE EXCEPTION 'states of query "%" differ from the fold over the events', one.name;
            END IF;
        ELSE
            PERFORM bench.must_equal(one.states, 'bench.counters');
        END IF;
    END LOOP;
END $$;
