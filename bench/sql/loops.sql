-- The two loops that a rebuild is measured against. Both read pages by position and build the same event document.
CREATE TABLE bench.state (id text PRIMARY KEY, state jsonb NOT NULL, position bigint NOT NULL, updated_at timestamptz NOT NULL);

-- (a) What a hand-written projection does per event: read the state, call the updater, upsert; a commit per 1,000 events.
CREATE PROCEDURE bench.loop_with_state(behind bigint DEFAULT -1)
LANGUAGE plpgsql AS $$
DECLARE
    done bigint := behind;
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
