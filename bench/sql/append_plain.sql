-- The built-in event table without the extension.
CREATE SCHEMA shop;
CREATE TABLE shop.events (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid UNIQUE DEFAULT gen_random_uuid(),
    stream_id text,
    version bigint,
    type text,
    data jsonb,
    metadata jsonb,
    occurred_at timestamptz DEFAULT now(),
    UNIQUE (stream_id, version)
);
