# What guards the positions of a source outlives its workers: after a restart the stored checkpoints are the floor, and a session
# that catches up raises it for everybody.
#
# Guards stored_floor(), raise_floor() and forget_floor() (position_floor.cpp). Seen to fail with a floor_of() that nothing stands
# in for, with a catch_up that announces nothing, with failed generations left out, and with a floor that outlives TRUNCATE.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('guarded');
$node->safe_psql('postgres', q{
    CREATE EXTENSION pg_readmodel;
    SELECT readmodel.create_event_table('public.events');
    SELECT readmodel.create_source('shop', 'public.events', settle => 'guarded');
    CREATE TABLE public.fault (position bigint);
    CREATE FUNCTION public.order_placed(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
    BEGIN
        IF EXISTS (SELECT FROM public.fault WHERE position = (event ->> 'position')::bigint) THEN
            RAISE 'as wanted';
        END IF;
        RETURN jsonb_build_object(
            'orders', coalesce((state ->> 'orders')::bigint, 0) + 1,
            'total', coalesce((state ->> 'total')::bigint, 0) + (event #>> '{data,amount}')::bigint,
            'positions', coalesce(state -> 'positions', '[]'::jsonb) || (event -> 'position'));
    END $$});
define_orders($node, 'postgres');

# Leaves a hole below each order.
sub append_with_hole
{
    my ($count) = @_;
    for (1 .. $count)
    {
        $node->safe_psql('postgres', q{
            SELECT nextval('public.events_position_seq');
            INSERT INTO public.events (stream_id, type, data) VALUES ('a', 'OrderPlaced', '{"amount": 1}')});
    }
}

sub insert_at
{
    my ($position) = @_;
    my ($status, undef, $error) = $node->psql('postgres', qq{
        \\set VERBOSITY sqlstate
        INSERT INTO public.events (position, stream_id, type, data) OVERRIDING SYSTEM VALUE
        VALUES ($position, 'a', 'OrderPlaced', '{"amount": 1}')});
    return $status == 0 ? 'inserted' : $error =~ /ERROR:  (\w+)/ ? $1 : $error;
}

append_with_hole(5);    # 2, 4, .. 10
wait_ready($node, 'postgres', 'the query is ready');
states_equal_oracle($node, 'postgres', 'over the holes');
is(insert_at(7), 'RM011', 'a hole that was passed over cannot be filled');

# Nobody works, nothing is in shared memory: the checkpoints say what was passed.
$node->append_conf('postgresql.conf', 'readmodel.enabled = off');
$node->restart;
is(insert_at(7), 'RM011', 'nor after a restart, without workers');
append_with_hole(2);    # 12, 14
is(insert_at(11), 'inserted', 'what no query has come to can be filled');

# A session takes marks too.
$node->safe_psql('postgres', q{CALL readmodel.catch_up('orders')});
is(insert_at(13), 'RM011', 'a session that has caught up raises the floor');
append_with_hole(1);    # 16
my $writer = $node->background_psql('postgres');
$writer->query_safe(q{BEGIN; INSERT INTO public.events (stream_id, type, data) VALUES ('a', 'OrderPlaced', '{"amount": 1}')});
append_with_hole(1);    # 19
$node->safe_psql('postgres', q{CALL readmodel.catch_up('orders')});
is(insert_at(15), 'RM011', 'though it waits for a writer, the hole below its mark is closed');
is(insert_at(30), 'inserted', 'above the mark it is open');
$writer->query_safe('COMMIT');
$writer->quit;

$node->append_conf('postgresql.conf', 'readmodel.enabled = on');
$node->reload;
wait_ready($node, 'postgres', 'the worker goes on');
states_equal_oracle($node, 'postgres', 'with all that was inserted');

# A prepared transaction may still commit where it was let in.
append_with_hole(1);    # 32
$node->safe_psql('postgres', q{SELECT readmodel.wait_for('orders', 32, '20 s')});
$node->safe_psql('postgres', q{
    SELECT setval('public.events_position_seq', 40);
    BEGIN;
    INSERT INTO public.events (position, stream_id, type, data) OVERRIDING SYSTEM VALUE VALUES (35, 'a', 'OrderPlaced', '{"amount": 1}');
    PREPARE TRANSACTION 'late'});
append_with_hole(1);    # 42
wait_until($node, 'postgres', q{(SELECT pending_hole = 33 FROM readmodel.source_status())}, 'a prepared transaction is waited for');
is(insert_at(36), 'RM011', 'others are not let in any more');
$node->restart;
is(insert_at(43), 'inserted', 'after a restart the sequence is where it was');
$node->safe_psql('postgres', q{COMMIT PREPARED 'late'});
states_equal_oracle($node, 'postgres', 'its event is applied');

# A query that has failed will go on where it stands: nothing may come in below.
my $head = $node->safe_psql('postgres', 'SELECT max(position) FROM public.events');
$node->safe_psql('postgres', "INSERT INTO public.fault VALUES ($head + 4)");
append_with_hole(2);
wait_until($node, 'postgres', q{readmodel.readiness('orders') = 'failed'}, 'the query fails');
$node->append_conf('postgresql.conf', 'readmodel.enabled = off');
$node->restart;
is(insert_at($head + 1), 'RM011', 'a hole below a failed query is closed, also after a restart');
$node->append_conf('postgresql.conf', 'readmodel.enabled = on');
$node->reload;
$node->safe_psql('postgres', q{DELETE FROM public.fault; SELECT readmodel.retry('orders')});
wait_ready($node, 'postgres', 'it goes on');
states_equal_oracle($node, 'postgres', 'with every event');

# Numbers that are drawn anew are let in, once the queries have failed.
$node->safe_psql('postgres', 'TRUNCATE public.events RESTART IDENTITY');
wait_until($node, 'postgres', q{(SELECT status = 'failed' AND reason LIKE 'source_rewound%' FROM readmodel.status())},
    'the sequence went back');
wait_until($node, 'postgres', q{(SELECT settled_position IS NOT DISTINCT FROM 0 FROM readmodel.source_status())},
    'the source begins anew');
is(insert_at(1), 'inserted', 'the first position is free again');
$node->safe_psql('postgres', q{SELECT readmodel.rebuild('orders')});
wait_ready($node, 'postgres', 'the query is built anew');
states_equal_oracle($node, 'postgres', 'from the new events');

# Numbers of sources begin anew with the extension: what was known of another source's events says nothing about this one's.
$node->safe_psql('postgres', q{
    BEGIN;
    DROP EXTENSION pg_readmodel CASCADE;
    DROP TABLE public.events;
    CREATE EXTENSION pg_readmodel;
    COMMIT;
    SELECT readmodel.create_event_table('public.events');
    SELECT readmodel.create_source('shop', 'public.events', settle => 'guarded')});
wait_until($node, 'postgres', q{(SELECT settled_position IS NOT NULL FROM readmodel.source_status())},
    'a worker follows the new source');
define_orders($node, 'postgres');
$node->safe_psql('postgres',
    q{INSERT INTO public.events (stream_id, type, data) VALUES ('a', 'OrderPlaced', '{"amount": 1}')});
is(insert_at(3), 'inserted', 'its positions begin anew');
wait_ready($node, 'postgres', 'a query over it is ready');
states_equal_oracle($node, 'postgres', 'with its events');

$node->stop;
done_testing();
