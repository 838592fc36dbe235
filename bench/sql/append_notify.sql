-- The usual wake-up of an external consumer.
CREATE FUNCTION shop.announce() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('events', NEW.position::text);
    RETURN NULL;
END $$;

CREATE TRIGGER announce AFTER INSERT ON shop.events FOR EACH ROW EXECUTE FUNCTION shop.announce();
