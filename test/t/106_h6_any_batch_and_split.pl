# H6: any batch size and any split give the same states, byte for byte: pages of 1 to 1000 events, a cache for all states or for a few,
# a flush after every page or at the end only, by the tail, by a rebuild worker, or by catch_up in a session.
#
# The fold depends on the order, deletes instances and creates them again, and concerns two instances with some events; the log has
# holes. Guards Fold::select and apply (which events of a page a generation still has to take), StateCache and StateStore (a state that
# left the cache is read again; one that was deleted is not). Seen to fail with states that left the cache taken for new ones
# (Fold::written leaves "complete" as it is).
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

# No worker comes to the database "sessions".
my $node = new_server('split', q{readmodel.databases = 'postgres'});
$node->safe_psql('postgres', 'CREATE DATABASE sessions');
$node->safe_psql($_, q{
    CREATE EXTENSION pg_readmodel;
    SELECT readmodel.create_event_table('public.events');
    SELECT readmodel.create_source('shop', 'public.events');
    -- The chain makes each state depend on every event before it; the padding makes all of them larger than a small cache.
    CREATE FUNCTION public.chain(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN event ->> 'type' = 'Gone' THEN NULL
           ELSE jsonb_build_object('n', coalesce((state ->> 'n')::int, 0) + 1,
                                   'chain', md5(coalesce(state ->> 'chain', '') || (event ->> 'position')),
                                   'padding', repeat(md5(event ->> 'position'), 250)) END;
    CREATE PROCEDURE public.append(first int, last int) LANGUAGE plpgsql AS $$
    BEGIN
        FOR i IN first .. last LOOP
            INSERT INTO public.events (type, data)
            VALUES (CASE WHEN i % 37 = 0 THEN 'Gone' ELSE 'Came' END,
                    jsonb_build_object('a', 'a ' || (i * 7) % 211, 'b', CASE WHEN i % 5 = 0 THEN 'b ' || i % 11 END));
            IF i % 9 = 0 THEN
                ROLLBACK;
            ELSIF i % 4 = 0 THEN
                COMMIT;
            END IF;
        END LOOP;
    END $$;
    -- The oracle folds by itself, in plain SQL: since its last end each instance is a chain.
    CREATE VIEW public.oracle AS
        WITH RECURSIVE keyed AS (
            SELECT position, type, key AS id FROM public.events, unnest(ARRAY[data ->> 'a', data ->> 'b']) AS key WHERE key IS NOT NULL),
        since AS (
            SELECT id, position, row_number() OVER (PARTITION BY id ORDER BY position) AS n FROM keyed
            WHERE position > (SELECT coalesce(max(k.position), 0) FROM keyed k WHERE k.id = keyed.id AND k.type = 'Gone')),
        chain AS (
            SELECT id, n, position, md5(position::text) AS chain FROM since WHERE n = 1
            UNION ALL
            SELECT id, next.n, next.position, md5(chain.chain || next.position)
            FROM chain JOIN since AS next USING (id) WHERE next.n = chain.n + 1)
        SELECT DISTINCT ON (id) id, position,
               jsonb_build_object('n', n, 'chain', chain, 'padding', repeat(md5(position::text), 250)) AS state
        FROM chain ORDER BY id, n DESC;
}) foreach 'postgres', 'sessions';

sub settings
{
    my (%settings) = @_;
    $node->safe_psql('postgres', "ALTER SYSTEM SET readmodel.$_ = '$settings{$_}'") foreach sort keys %settings;
    $node->reload;
    foreach my $name (sort keys %settings)
    {
        # A session that begins now has read the same file; the workers read it before their next page.
        $node->poll_query_until('postgres', "SELECT current_setting('readmodel.$name') = '$settings{$name}'")
          or BAIL_OUT("readmodel.$name does not change");
    }
    return;
}

my $digest = q{SELECT md5(string_agg(concat_ws(' ', id, position, state::text), E'\n' ORDER BY id COLLATE "C")), count(*) FROM };
my $define = q{SELECT readmodel.define_query('%s', 'shop', 'public.chain(jsonb, jsonb)', key => $$ARRAY[data ->> 'a', data ->> 'b']$$)};
my (%digest_of, $expected);

sub take_digest
{
    my ($database, $name) = @_;
    my $states = $node->safe_psql($database, "SELECT readmodel.state_table('$name')");
    my $checkpoint = $node->safe_psql($database, qq{
        SELECT c.position, c.events_applied, c.instances FROM readmodel_catalog.checkpoint AS c
        JOIN readmodel_catalog.generation USING (generation_id) WHERE state_table = '$states'::regclass});
    $digest_of{$name} = $node->safe_psql($database, "$digest $states") . "|$checkpoint";
    $node->safe_psql($database, "SELECT readmodel.drop_query('$name')");
    return;
}

# --- the tail follows: each portion with another page size, so that one log is split in all these ways
my $last = 0;
$node->safe_psql('postgres', sprintf($define, 'tail'));
wait_until($node, 'postgres', 'readmodel.ready()', 'an empty log is followed');
foreach my $batch_size (3, 1, 1000, 2, 7)
{
    settings(batch_size => $batch_size);
    $node->safe_psql($_, sprintf('CALL public.append(%s, %s)', $last + 1, $last + 130)) foreach 'postgres', 'sessions';
    $last += 130;
}
my $head = $node->safe_psql('postgres', 'SELECT max(position) FROM public.events');
$node->safe_psql('postgres', "SELECT readmodel.wait_for('tail', $head, '60 s')");
$expected = $node->safe_psql('postgres', "$digest public.oracle") . '|' . $node->safe_psql('postgres',
    q{SELECT max(position), count(*), (SELECT count(*) FROM public.oracle) FROM public.events});
is($node->safe_psql('sessions', 'SELECT md5(string_agg(concat_ws(\' \', position, type, data), \',\' ORDER BY position)) FROM public.events'),
    $node->safe_psql('postgres', 'SELECT md5(string_agg(concat_ws(\' \', position, type, data), \',\' ORDER BY position)) FROM public.events'),
    'both databases have the same log');
cmp_ok($node->safe_psql('postgres', "SELECT pg_size_bytes('1MB') < sum(length(state::text)) FROM public.oracle"), 'eq', 't',
    'the states are larger than the small cache');
take_digest('postgres', 'tail');

# --- a rebuild worker, and a session where there are no workers
foreach my $batch_size (1, 2, 3, 7, 1000)
{
    foreach my $small (0, 1)
    {
        settings(batch_size => $batch_size, state_cache => $small ? '1MB' : '64MB', flush_interval => $small ? '10ms' : '1h');
        my $how = "pages of $batch_size, " . ($small ? 'small cache, many flushes' : 'large cache, one flush');
        $node->safe_psql('postgres', sprintf($define, "rebuild, $how"));
        wait_until($node, 'postgres', 'readmodel.ready()', "rebuild, $how: ready");
        take_digest('postgres', "rebuild, $how");

        $node->safe_psql('sessions', sprintf($define, "catch_up, $how"));
        $node->safe_psql('sessions', "CALL readmodel.catch_up('catch_up, $how')");
        take_digest('sessions', "catch_up, $how");
    }
}
is($digest_of{$_}, $expected, "$_: the oracle's states and checkpoint") foreach sort keys %digest_of;
is(scalar(keys %digest_of), 21, 'all ways were tried');

$node->stop;
done_testing();
