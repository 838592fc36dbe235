-- Every instance of every query, byte for byte, against the oracle. Fails if one differs, is missing or is too many.
SELECT query, count(o.state) AS "instances by SQL", count(s.state) AS "instances",
       count(*) FILTER (WHERE o.state::text IS DISTINCT FROM s.state::text) AS different
FROM public.oracle AS o FULL JOIN public.states AS s USING (query, id)
GROUP BY query ORDER BY query;

DO $$
BEGIN
    IF EXISTS (SELECT FROM public.oracle AS o FULL JOIN public.states AS s USING (query, id)
               WHERE o.state::text IS DISTINCT FROM s.state::text)
    THEN
        RAISE EXCEPTION 'the read models differ from the independent fold over the events';
    END IF;
END $$;
