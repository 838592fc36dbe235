# Queries of one source share what they make of a page's events alike: documents, keys, and values that were compressed. Nobody can
# tell by the states. Keys are only shared where they are the same: each query has its own owner's, under its own search_path, and
# meets its own errors.
#
# Guards query/shared_work.cpp. Seen to fail with keys that are shared whoever owns the query, whatever its search_path, whatever the
# expression, with the document of the event before, and with the data of an event before.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('shared', 'readmodel.poll_interval = 100', 'readmodel.batch_size = 100');
$node->safe_psql('postgres', q{
    CREATE EXTENSION pg_readmodel;
    CREATE TABLE public.events (position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, stream_id text, type text, data jsonb,
                                metadata jsonb);
    SELECT readmodel.create_source('log', 'public.events', metadata => 'metadata');
    CREATE FUNCTION public.collect(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
    RETURN coalesce(state, '[]'::jsonb) || jsonb_build_array(md5(event::text));
    CREATE FUNCTION public.fragile(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN
        IF event -> 'data' ? 'fragile' THEN
            RAISE 'no such event';
        END IF;
        RETURN public.collect(state, event);
    END $$;
    -- Whose it is depends on who asks, under which path.
    CREATE SCHEMA left_hand;
    CREATE SCHEMA right_hand;
    CREATE FUNCTION left_hand.hand() RETURNS text LANGUAGE sql IMMUTABLE RETURN 'left';
    CREATE FUNCTION right_hand.hand() RETURNS text LANGUAGE sql IMMUTABLE RETURN 'right';
    CREATE FUNCTION public.whose(stream text, type text) RETURNS text LANGUAGE plpgsql STABLE AS $$
    BEGIN
        IF type = 'not for bob' AND current_user = 'bob' THEN
            RAISE 'not for bob';
        END IF;
        RETURN current_user || ' ' || hand() || ' ' || stream;
    END $$;
    GRANT USAGE ON SCHEMA left_hand, right_hand TO PUBLIC;
    CREATE ROLE alice;
    CREATE ROLE bob;
    CREATE SCHEMA of_alice AUTHORIZATION alice;
    CREATE SCHEMA of_bob AUTHORIZATION bob;
    SELECT readmodel.grant_definer('alice'), readmodel.grant_definer('bob');
    GRANT SELECT ON public.events TO alice, bob;
    CREATE PROCEDURE public.append(count int, type text) LANGUAGE sql AS $$
        INSERT INTO public.events (stream_id, type, data, metadata)
        SELECT 's' || i % 7, type,
               CASE i % 4 WHEN 0 THEN jsonb_build_object('compressed', repeat('x', 3000 + i), 'n', i)
                          WHEN 1 THEN jsonb_build_object('apart', (SELECT string_agg(md5(i::text || j), '') FROM generate_series(1, 200) j), 'n', i)
                          WHEN 2 THEN jsonb_build_object('n', i)
                          ELSE to_jsonb(i) END,
               CASE i % 3 WHEN 0 THEN jsonb_build_object('who', repeat('y', 3000 + i)) WHEN 1 THEN jsonb_build_object('who', i) END
        FROM generate_series(1, count) i $$;
});

# name => [role, schema of the view, search_path, updater, key, id in the oracle]
my %query = (
    alice_left => ['alice', 'of_alice', 'left_hand', 'collect', 'public.whose(stream, type)', q{'alice left ' || stream_id}],
    alice_right => ['alice', 'of_alice', 'right_hand', 'collect', 'public.whose(stream, type)', q{'alice right ' || stream_id}],
    alice_too => ['alice', 'of_alice', 'right_hand', 'collect', 'public.whose(stream, type)', q{'alice right ' || stream_id}],
    alice_other => ['alice', 'of_alice', 'right_hand', 'collect', 'stream', 'stream_id'],
    alice_position => ['alice', 'of_alice', 'right_hand', 'collect', 'position % 5', '(position % 5)'],
    alice_fragile => ['alice', 'of_alice', 'right_hand', 'fragile', 'stream', 'stream_id'],
    bob_left => ['bob', 'of_bob', 'left_hand', 'collect', 'public.whose(stream, type)', q{'bob left ' || stream_id}],
    bob_too => ['bob', 'of_bob', 'left_hand', 'collect', 'public.whose(stream, type)', q{'bob left ' || stream_id}]);
my @specs = map { "spec_$_" } 1, 2;

sub define_all
{
    foreach my $name (sort keys %query)
    {
        my ($role, $schema, $path, $updater, $key) = @{ $query{$name} };
        $node->safe_psql('postgres', qq{
            SET ROLE $role;
            SET search_path = $path;
            SELECT readmodel.define_query('$name', 'log', 'public.$updater(jsonb, jsonb)', key => '$key', options => '{"schema": "$schema"}')});
    }
    $node->safe_psql('postgres', qq{
        SELECT readmodel.define_query('$_', 'log', spec => '{"key": "\$event.stream",
            "on": {"*": {"append": {"data": "\$", "metadata": "\$event.metadata", "positions": "\$event.position"}}}}')}) foreach @specs;
    return;
}

# The states are those of the events up to a position, computed in SQL.
sub equal
{
    my ($name, $up_to, $what) = @_;
    my (undef, $schema, undef, undef, undef, $id) = @{ $query{$name} };
    is($node->safe_psql('postgres', qq{
        SELECT count(*) > 0, count(*) FILTER (WHERE state IS DISTINCT FROM expected)
        FROM $schema.$name
        FULL JOIN (SELECT $id AS id, jsonb_agg(md5((jsonb_build_object('position', position, 'type', type, 'stream', stream_id, 'data', data)
                       || CASE WHEN metadata IS NULL THEN '{}' ELSE jsonb_build_object('metadata', metadata) END)::text)
                       ORDER BY position) AS expected
                   FROM public.events WHERE position <= $up_to GROUP BY 1) oracle USING (id)}), 't|0', "$what: $name");
    return;
}

sub equal_specs
{
    my ($what) = @_;
    is($node->safe_psql('postgres', qq{
        SELECT count(*) > 0, count(*) FILTER (WHERE state IS DISTINCT FROM expected)
        FROM readmodel.$_
        FULL JOIN (SELECT stream_id AS id, jsonb_build_object('data', jsonb_agg(data ORDER BY position),
                       'positions', jsonb_agg(position ORDER BY position))
                       || CASE WHEN count(metadata) > 0 THEN jsonb_build_object('metadata',
                              jsonb_agg(metadata ORDER BY position) FILTER (WHERE metadata IS NOT NULL)) ELSE '{}' END AS expected
                   FROM public.events GROUP BY 1) oracle USING (id)}), 't|0', "$what: $_") foreach @specs;
    return;
}

sub head { return $node->safe_psql('postgres', 'SELECT max(position) FROM public.events') }

sub caught_up
{
    my (@names) = @_;
    my $head = head();
    $node->safe_psql('postgres', "SELECT readmodel.wait_for('$_', $head, '60 s')") foreach @names;
    return;
}

# --- rebuilt in one lane, then followed by the tail, in pages of 100
$node->safe_psql('postgres', q{CALL public.append(2500, 'any')});
define_all();
wait_until($node, 'postgres', 'readmodel.ready()', 'all are rebuilt');
equal($_, head(), 'rebuilt') foreach sort keys %query;
equal_specs('rebuilt');
$node->safe_psql('postgres', q{CALL public.append(250, 'any')});
caught_up(sort(keys %query), @specs);
equal($_, head(), 'followed') foreach sort keys %query;
equal_specs('followed');

# --- each its own cursor
$node->safe_psql('postgres', q{SELECT readmodel.pause('alice_too')});
$node->safe_psql('postgres', q{CALL public.append(30, 'any')});
caught_up(grep { $_ ne 'alice_too' } sort keys %query);
$node->safe_psql('postgres', q{CALL public.append(30, 'any'); SELECT readmodel.resume('alice_too')});
caught_up(sort(keys %query), @specs);
equal($_, head(), 'one had been paused') foreach sort keys %query;

# --- in the middle of one page an event that both of bob's keys refuse, and one that an updater refuses
my $before = head();
$node->safe_psql('postgres', q{
    BEGIN;
    CALL public.append(20, 'any');
    CALL public.append(1, 'not for bob');
    CALL public.append(20, 'any');
    INSERT INTO public.events (stream_id, type, data) VALUES ('s1', 'any', '{"fragile": true}');
    CALL public.append(20, 'any');
    COMMIT});
my @failing = qw(alice_fragile bob_left bob_too);
wait_until($node, 'postgres', "(SELECT count(*) FROM readmodel.status() WHERE status = 'failed') = 3", 'three fail');
my @going_on = grep { !/^bob|fragile/ } sort keys %query;
caught_up(@going_on, @specs);
equal($_, head(), 'others have failed') foreach @going_on;
equal_specs('others have failed');
is($node->safe_psql('postgres', q{SELECT name, error_message, error_position FROM readmodel.status() WHERE status = 'failed' ORDER BY name}),
    join("\n", 'alice_fragile|no such event|' . ($before + 42), map { "$_|not for bob|" . ($before + 21) } qw(bob_left bob_too)),
    'each failed at its own event');
equal('alice_fragile', $before + 41, 'what was before is kept');
equal($_, $before + 20, 'what was before is kept') foreach qw(bob_left bob_too);

$node->stop;
done_testing();
