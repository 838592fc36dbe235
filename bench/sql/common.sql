-- What all suites use, in each of their databases.
CREATE SCHEMA bench;

-- Until the query, or without a name every one, is ready; an error that tells how it stands if it fails, or shortly before the time of
-- the statement is up.
CREATE PROCEDURE bench.until_ready(query text)
LANGUAGE plpgsql AS $$
DECLARE
    failure record;
    latest timestamptz := clock_timestamp() + 0.9 * current_setting('statement_timeout')::interval;
BEGIN
    LOOP
        COMMIT;
        EXIT WHEN readmodel.ready(CASE WHEN query <> '' THEN ARRAY[query] END);
        SELECT name, reason, error_message INTO failure FROM readmodel.status()
        WHERE status = 'failed' AND query IN ('', name);
        IF FOUND THEN
            RAISE EXCEPTION 'query "%" has failed: %: %', failure.name, failure.reason, failure.error_message;
        END IF;
        IF clock_timestamp() > latest THEN
            RAISE EXCEPTION 'query "%" does not become ready', query
                USING DETAIL = (SELECT string_agg(s::text, E'\n') FROM readmodel.status() AS s WHERE query IN ('', name));
        END IF;
        PERFORM pg_sleep(0.002);
    END LOOP;
END $$;

-- Until the query, or each, has applied all that is committed now, and is ready.
CREATE PROCEDURE bench.until_caught_up(query text)
LANGUAGE plpgsql AS $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT name, head_position FROM readmodel.status() WHERE query IN ('', name) AND head_position IS NOT NULL LOOP
        PERFORM readmodel.wait_for(one.name, one.head_position, '10 min');
    END LOOP;
    COMMIT;
    CALL bench.until_ready(query);
END $$;

-- The number of instances that are not in both, with the same state.
CREATE FUNCTION bench.differing(states regclass, oracle regclass) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    different bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM %s AS s FULL JOIN %s AS o USING (id) WHERE s.state::text IS DISTINCT FROM o.state::text',
                   states, oracle) INTO different;
    RETURN different;
END $$;

CREATE FUNCTION bench.must_equal(states regclass, oracle regclass) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    different bigint := bench.differing(states, oracle);
BEGIN
    IF different > 0 THEN
        RAISE EXCEPTION '% states in % differ from the fold over the events', different, states;
    END IF;
END $$;

-- One number for all states of a table: the same only if all are, byte for byte.
CREATE FUNCTION bench.digest(states regclass, OUT content text, OUT positions text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT md5(string_agg(md5(id::text || '' '' || state::text), '''' ORDER BY id)),
                           md5(string_agg(id::text || '' '' || position, '','' ORDER BY id)) FROM %s', states) INTO content, positions;
END $$;

-- How long a statement takes, without the way to the client.
CREATE FUNCTION bench.seconds_of(statement text) RETURNS numeric
LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz := clock_timestamp();
BEGIN
    EXECUTE statement;
    RETURN round(extract(epoch FROM clock_timestamp() - started), 4);
END $$;

-- Runs a statement and takes it back. Empty if this build refuses it for not being there yet; other errors are errors.
CREATE FUNCTION bench.accepted(statement text) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE statement;
        RAISE EXCEPTION USING ERRCODE = 'BE000', MESSAGE = 'take it back';
    EXCEPTION
        WHEN SQLSTATE 'BE000' THEN
            RETURN 'yes';
        WHEN feature_not_supported THEN
            RETURN '';
    END;
END $$;
