# Events are erased, passed over and applied after all while others arrive; their instances are folded afresh beside the worker, which
# has the old states in memory. Whoever looks finds nothing that differs, the other query of the source goes on, and in the end every
# state is the oracle's.
#
# Guards the revision in the compare-and-set of query::move_checkpoint, Correction's lock of the checkpoint, LogReplay's second run
# behind that lock and the shares of verify. Seen to fail
# without "revision = revision + 1" (the worker stores what it had folded), with the checkpoint as it was before the lock (what came
# meanwhile is lost), and with halves() that leave out every other instance.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('corrected', 'readmodel.batch_size = 20', q{readmodel.state_cache = '1MB'}, q{readmodel.lock_timeout = '60s'});
make_shop($node, 'postgres');
append_orders($node, 'postgres', 200);
define_orders($node, 'postgres');
$node->safe_psql('postgres', q{
    SELECT readmodel.define_query('beside', 'shop',
        spec => '{"key": "$event.stream", "on": {"OrderPlaced": {"add": {"orders": 1, "total": "$.amount"}, "append": {"positions": "$event.position"}}}}')});
wait_ready($node, 'postgres', 'the queries are ready');
my $states = $node->safe_psql('postgres', q{SELECT readmodel.state_table('orders')});

sub equals_oracle
{
    my ($what) = @_;
    $node->safe_psql('postgres', q{SELECT readmodel.wait_for('orders', (SELECT max(position) FROM public.events), '60 s')});
    return is($node->safe_psql('postgres', qq{
        SELECT (SELECT count(*) FROM $states AS stored
                FULL JOIN (
                    SELECT stream_id AS id, jsonb_build_object('orders', count(*), 'total', sum((data ->> 'amount')::bigint),
                        'positions', jsonb_agg(position ORDER BY position)) AS state, max(position) AS position
                    FROM public.events GROUP BY stream_id) AS oracle USING (id)
                WHERE (stored.state::text, stored.position) IS DISTINCT FROM (oracle.state::text, oracle.position)),
               (SELECT instances FROM readmodel.status() WHERE name = 'orders') - (SELECT count(DISTINCT stream_id) FROM public.events),
               (SELECT count(*) FROM readmodel.verify('orders'))}), '0|0|0', $what);
}

# The worker has folded an event into the state as it was, and waits for the checkpoint that rebuild_instance has locked.
sub beside_the_worker
{
    my ($correction, $what) = @_;
    my $session = $node->background_psql('postgres', on_error_die => 1);
    $session->query_safe("BEGIN; SET LOCAL client_min_messages = warning; $correction");
    my $at = append_order($node, 'postgres', 'customer 3', 7);
    wait_until($node, 'postgres', q{count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_readmodel tail' AND wait_event_type = 'Lock'},
        "$what: the worker waits for the checkpoint");
    $session->query_safe('COMMIT');
    $session->quit;
    equals_oracle($what) if $what !~ /passed over/;
    return $at;
}
beside_the_worker(q{
    DELETE FROM public.events WHERE position = (SELECT min(position) FROM public.events WHERE stream_id = 'customer 3');
    SELECT readmodel.rebuild_instance('orders', 'customer 3'), readmodel.rebuild_instance('beside', 'customer 3')}, 'an event is erased');
my $generation = q{(SELECT generation_id FROM readmodel_catalog.generation JOIN readmodel_catalog.query q USING (query_id) WHERE q.name = 'orders')};
my $letter = q{SELECT position AS letter, stream_id AS stream FROM public.events WHERE %s LIMIT 1 \gset
    INSERT INTO readmodel_catalog.dead_letter (generation_id, position, sqlstate, message) SELECT } . $generation . q{, :letter, 'XX000', 'as if';
    SELECT readmodel.rebuild_instance('orders', :'stream')};
beside_the_worker(sprintf($letter, q{stream_id = 'customer 3' ORDER BY position DESC}), 'an event is passed over');
beside_the_worker(q{SELECT readmodel.retry_dead_letters('orders')}, 'and applied after all');

# A snapshot is a snapshot.
my $old = $node->background_psql('postgres', on_error_die => 1);
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $seen = $old->query_safe(q{SELECT position FROM readmodel_catalog.checkpoint WHERE generation_id = } . $generation);
my $history = $old->query_safe(q{SELECT jsonb_agg(h) FROM readmodel.history('orders', 'customer 3') h});
my $new = append_order($node, 'postgres', 'customer 3', 70);
equals_oracle('an event came after the snapshot');
is($old->query_safe(q{SELECT count(*) FROM readmodel.verify('orders')}), '0', 'the older snapshot is whole');
is($old->query_safe(q{SELECT jsonb_agg(h) FROM readmodel.history('orders', 'customer 3') h}), $history, 'and its history the same');
is($old->query_safe(qq{SELECT (readmodel.state_at('orders', 'customer 3', $seen) = state)::text FROM readmodel.orders WHERE id = 'customer 3'}),
    'true', 'and its state that of its checkpoint');
$old->quit;
foreach my $correct (q{SELECT readmodel.rebuild_instance('orders', 'customer 3')})
{
    my $session = $node->background_psql('postgres', on_error_stop => 0);
    $session->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
    append_order($node, 'postgres', 'customer 3', 71);
    equals_oracle('another event came');
    my ($out, $failed) = $session->query("\\set VERBOSITY sqlstate\n$correct");
    like($session->{stderr}, qr/40001/, 'nothing is corrected from a snapshot that is older than the checkpoint');
    $session->quit;
}
my $before_rewrite = $node->background_psql('postgres', on_error_stop => 0);
$before_rewrite->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM readmodel_catalog.checkpoint');
$node->safe_psql('postgres', q{ALTER TABLE public.events ALTER COLUMN event_id TYPE text});
$before_rewrite->query("\\set VERBOSITY sqlstate\nSELECT count(*) FROM readmodel.verify('orders')");
like($before_rewrite->{stderr}, qr/40001/, 'a snapshot from before the table was rewritten is refused, not taken for an empty log');
$before_rewrite->quit;

# Under load.
my $script = $node->basedir . '/append.pgbench';
append_to_file($script, q{
\set customer random(0, 19)
INSERT INTO public.events (stream_id, type, data)
VALUES ('customer ' || :customer, 'OrderPlaced', jsonb_build_object('amount', :customer));
});
my @to = ('-h', $node->host, '-p', $node->port);
my $output = '';
my $appends = IPC::Run::start([ $node->installed_command('pgbench'), '-n', @to, '-c', 2, '-R', 300, '-T', 600, '-f', $script, 'postgres' ],
    '<', \undef, '>&', \$output);
my $beside = $node->safe_psql('postgres', q{SELECT position FROM readmodel.status() WHERE name = 'beside'});
foreach my $round (1 .. 15)
{
    # Events that are not applied yet are erased as well.
    $node->safe_psql('postgres', q{
        BEGIN;
        SET LOCAL client_min_messages = warning;
        CREATE TEMPORARY TABLE erased ON COMMIT DROP AS
            SELECT position, stream_id FROM (SELECT position, stream_id FROM public.events ORDER BY position DESC LIMIT 40) e
             WHERE position NOT IN (SELECT position FROM readmodel_catalog.dead_letter) ORDER BY random() LIMIT 2;
        DELETE FROM public.events WHERE position IN (SELECT position FROM erased);
        SELECT readmodel.rebuild_instance('orders', stream_id), readmodel.rebuild_instance('beside', stream_id)
          FROM (SELECT DISTINCT stream_id FROM erased) e;
        COMMIT});
    $node->safe_psql('postgres', q{BEGIN; SET LOCAL client_min_messages = warning; } . sprintf($letter,
        "position <= (SELECT min(position) FROM readmodel_catalog.checkpoint) ORDER BY position DESC OFFSET $round") . '; COMMIT');
    is($node->safe_psql('postgres', q{SELECT * FROM readmodel.verify('orders') UNION ALL SELECT * FROM readmodel.verify('beside')}), '',
        "round $round: nothing differs");
    $node->safe_psql('postgres', q{SET client_min_messages = warning; SELECT readmodel.retry_dead_letters('orders')}) if $round % 3 == 0;
}
cmp_ok($node->safe_psql('postgres', q{SELECT position FROM readmodel.status() WHERE name = 'beside'}), '>', $beside, 'the other query went on');
$appends->signal('TERM');
$appends->finish;
is($node->safe_psql('postgres', 'SELECT count(*) FROM readmodel_catalog.dead_letter'), '0', 'all letters were applied');
equals_oracle('the end');
is($node->safe_psql('postgres', q{SELECT string_agg(name || ' ' || status, ', ' ORDER BY name) FROM readmodel.status()}), 'beside ready, orders ready',
    'no query has failed');

# States that do not fit into readmodel.state_cache are folded in several passes, each of which has its own instances.
$node->safe_psql('postgres', q{
    INSERT INTO public.events (stream_id, type, data)
    SELECT 'many ' || i, 'OrderPlaced', jsonb_build_object('amount', i) FROM generate_series(1, 6000) i});
equals_oracle('more instances than memory');
$node->safe_psql('postgres', qq{
    DELETE FROM $states WHERE id IN ('many 1', 'many 3000');
    UPDATE $states SET state = '{}' WHERE id = 'many 4000';
    UPDATE $states SET position = 1 WHERE id = 'many 6000';
    INSERT INTO $states (id, state, position) VALUES ('nobody', '{}', 1)});
is($node->safe_psql('postgres', q{SELECT string_agg(id, ', ' ORDER BY id COLLATE "C") FROM readmodel.verify('orders')}),
    'many 1, many 3000, many 4000, many 6000, nobody', 'each difference is found once');
# The table says nothing of how much there is to fold.
$node->safe_psql('postgres', "TRUNCATE $states");
is($node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT id), count(stored), sum((folded ->> 'total')::bigint) FILTER (WHERE id LIKE 'many %') FROM readmodel.verify('orders')}),
    $node->safe_psql('postgres', q{SELECT count(DISTINCT stream_id), count(DISTINCT stream_id), 0, 6000 * 6001 / 2 FROM public.events}),
    'nor is one left out where there are none');
$node->stop;
done_testing;
