-- The two loops that a rebuild is measured against. Both read pages by position and build the same event document.
CREATE SCHEMA bench;
CREATE TABLE bench.state (id text PRIMARY KEY, state jsonb NOT NULL, position bigint NOT NULL, updated_at timestamptz NOT NULL);

-- (a) What a hand-written projection does per event: read the state, call the updater, upsert; a commit per 1,000 events.
CREATE PROCEDURE bench.loop_with_state()
LANGUAGE plpgsql AS $$
DECLARE
    done bigint := -1;
    before bigint;
    event record;
    old jsonb;
BEGIN
    LOOP
        before := done;
        FOR event IN
            SELECT position, data ->> 'customer' AS id,
                   jsonb_build_object('position', position, 'type', type, 'stream', stream_id, 'data', data) AS document
            FROM shop.events WHERE position > done ORDER BY position LIMIT 1000
        LOOP
            SELECT state INTO old FROM bench.state WHERE id = event.id;
            INSERT INTO bench.state
            VALUES (event.id, shop.customer(old, event.document), event.position, now())
            ON CONFLICT (id) DO UPDATE
                SET state = excluded.state, position = excluded.position, updated_at = excluded.updated_at;
            done := event.position;
        END LOOP;
        EXIT WHEN done = before;
        COMMIT;
    END LOOP;
END $$;

-- (b) The least that any fold with this updater costs: read the events and call it, and write nothing. The state that
-- goes in is the one that came out, so it has its ten orders as the real ones have.
CREATE PROCEDURE bench.loop_without_writes()
LANGUAGE plpgsql AS $$
DECLARE
    done bigint := -1;
    before bigint;
    event record;
    state jsonb;
BEGIN
    LOOP
        before := done;
        FOR event IN
            SELECT position, data ->> 'customer' AS id,
                   jsonb_build_object('position', position, 'type', type, 'stream', stream_id, 'data', data) AS document
            FROM shop.events WHERE position > done ORDER BY position LIMIT 1000
        LOOP
            state := shop.customer(state, event.document);
            done := event.position;
        END LOOP;
        EXIT WHEN done = before;
        COMMIT;
    END LOOP;
END $$;

-- From the call of define_query to "ready".
CREATE PROCEDURE bench.rebuild()
LANGUAGE plpgsql AS $$
DECLARE
    status text;
BEGIN
    PERFORM readmodel.define_query('customers', 'shop', 'shop.customer(jsonb, jsonb)', key => $key$data->>'customer'$key$);
    LOOP
        COMMIT;
        status := readmodel.readiness('customers');
        EXIT WHEN status = 'ready';
        IF status = 'failed' THEN
            RAISE EXCEPTION 'the rebuild failed: %', (SELECT error_message FROM readmodel.status() WHERE name = 'customers');
        END IF;
        PERFORM pg_sleep(0.02);
    END LOOP;
END $$;

CREATE FUNCTION bench.check_states(states regclass) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    different bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM shop.customer_oracle AS o FULL JOIN %s AS s USING (id)
                    WHERE o.state::text IS DISTINCT FROM s.state::text', states) INTO different;
    IF different > 0 THEN
        RAISE EXCEPTION '% states in % differ from the fold over the events', different, states;
    END IF;
END $$;
