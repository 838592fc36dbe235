-- Somebody's own event table: its columns are mapped, none has to change.
CREATE SCHEMA log;
CREATE TABLE log.events (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entity text NOT NULL,
    stream_id text NOT NULL,
    version bigint NOT NULL,
    type text NOT NULL,
    occurred_at timestamptz NOT NULL,
    data jsonb NOT NULL,
    UNIQUE (entity, stream_id, version)
);
