-- A synchronous projection: the same updater and upsert, in a trigger of the appending transaction.
CREATE TABLE shop.state (id text PRIMARY KEY, state jsonb NOT NULL, position bigint NOT NULL, updated_at timestamptz NOT NULL);

CREATE FUNCTION shop.project() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    key text := NEW.data ->> 'customer';
    old_state jsonb;
BEGIN
    SELECT state INTO old_state FROM shop.state WHERE id = key FOR UPDATE;
    INSERT INTO shop.state
    VALUES (key, shop.customer(old_state, jsonb_build_object('position', NEW.position, 'type', NEW.type, 'stream', NEW.stream_id,
                                                             'data', NEW.data)), NEW.position, now())
    ON CONFLICT (id) DO UPDATE
        SET state = excluded.state, position = excluded.position, updated_at = excluded.updated_at;
    RETURN NULL;
END $$;

CREATE TRIGGER project AFTER INSERT ON shop.events FOR EACH ROW EXECUTE FUNCTION shop.project();
