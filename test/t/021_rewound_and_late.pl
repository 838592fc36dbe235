# A source whose numbers cannot be trusted any more fails its queries; nothing is applied twice, and nothing is passed over in silence.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('rewound', 'readmodel.poll_interval = 100');
foreach my $database ('rewound', 'late')
{
    $node->safe_psql('postgres', "CREATE DATABASE $database");
    make_shop($node, $database);
    append_orders($node, $database, 30);
    define_orders($node, $database);
    wait_ready($node, $database, "the query of database $database becomes ready");
}

sub failed_with
{
    my ($database, $reason, $what) = @_;
    wait_until($node, $database, "status = 'failed' AND reason ~ '^$reason' FROM readmodel.status()", $what);
}

# What was applied belongs to numbers that mean other events now, or lacks one: there is no going on from there.
sub not_retried
{
    my ($database) = @_;
    my (undef, undef, $error) = $node->psql($database, "\\set VERBOSITY sqlstate\nSELECT readmodel.retry('orders')");
    like($error, qr/ERROR:  55000/, 'it cannot be retried');
    is($node->safe_psql($database, q{SELECT readmodel.readiness('orders')}), 'failed', 'and stays failed');
}

# --- late: a hole whose transaction was rolled back is passed over, and then somebody fills it
my $hole = $node->safe_psql('late', q{
    BEGIN;
    INSERT INTO public.events (stream_id, type, data) VALUES ('customer 1', 'OrderPlaced', '{"amount": 1}') RETURNING position;
    ROLLBACK});
my $after = append_order($node, 'late', 'customer 1', 1);
is($after, $hole + 1, 'a rolled-back transaction leaves a hole');
states_equal_oracle($node, 'late', 'the hole is passed over');
$node->safe_psql('late', qq{
    INSERT INTO public.events (position, stream_id, type, data) OVERRIDING SYSTEM VALUE
    VALUES ($hole, 'customer 1', 'OrderPlaced', '{"amount": 1000}')});

# --- rewound: meanwhile, in the other database, numbers will be drawn again
$node->safe_psql('rewound', 'BEGIN; DELETE FROM public.events WHERE position > 10;
    ALTER TABLE public.events ALTER COLUMN position RESTART WITH 11; COMMIT');
failed_with('rewound', 'source_rewound', 'a sequence that ends before the checkpoint makes the query failed');
my $states = $node->safe_psql('rewound', q{SELECT readmodel.state_table('orders')});
my $kept = $node->safe_psql('rewound', "SELECT md5(string_agg(s::text, ' ' ORDER BY id)) FROM $states s");
# More numbers than were drawn before, so that the sequence alone does not show it any more.
append_orders($node, 'rewound', 40);
my $tail = tail_pid($node, 'rewound');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($tail)");
wait_until($node, 'postgres', "count(*) = 1 FROM pg_stat_activity
    WHERE backend_type = 'pg_readmodel tail' AND datname = 'rewound' AND pid <> $tail", 'another worker knows nothing of it');
failed_with('rewound', 'source_rewound', 'it stays failed when the numbers have passed the checkpoint');
is($node->safe_psql('rewound', "SELECT md5(string_agg(s::text, ' ' ORDER BY id)) FROM $states s"), $kept,
    'nothing was applied');
is($node->safe_psql('rewound', 'SELECT position FROM readmodel_catalog.checkpoint'), 30, 'the checkpoint stands');
not_retried('rewound');

$node->safe_psql('rewound', q{SELECT readmodel.rebuild('orders')});
wait_ready($node, 'rewound', 'built anew it is ready');
append_orders($node, 'rewound', 10);
states_equal_oracle($node, 'rewound', 'with the states of the events that are there');
applied_once($node, 'rewound', 'each of which was applied once');

# --- late again
failed_with('late', 'late_event', 'an event in a hole that was passed over makes the query failed');
is($node->safe_psql('late', q{SELECT error_position, position FROM readmodel.status()}), "$hole|$after",
    'the status has its position');
not_retried('late');
$node->safe_psql('late', q{SELECT readmodel.rebuild('orders')});
wait_ready($node, 'late', 'built anew it is ready');
states_equal_oracle($node, 'late', 'with the late event among its states');

# --- late, and rebuilt before the workers have noticed: what is built anew has the event, and does not fail for it
$hole = $node->safe_psql('late', q{SELECT nextval('public.events_position_seq')});
$after = append_order($node, 'late', 'customer 1', 1);
$node->safe_psql('late', "SELECT readmodel.wait_for('orders', $after, '20 s')");
$node->safe_psql('late', qq{
    INSERT INTO public.events (position, stream_id, type, data) OVERRIDING SYSTEM VALUE
    VALUES ($hole, 'customer 1', 'OrderPlaced', '{"amount": 1000}');
    SELECT readmodel.rebuild('orders')});
wait_until($node, 'late', q{(SELECT status = 'failed' FROM readmodel.generations('orders') ORDER BY generation DESC OFFSET 1 LIMIT 1)},
    'the generation that passed the event over fails');
wait_ready($node, 'late', 'the one that is built after it is ready');
is($node->safe_psql('late', q{SELECT string_agg(status, ' ' ORDER BY generation DESC) ~ '^ready failed' FROM readmodel.generations('orders')}),
    't', 'and has not failed');
states_equal_oracle($node, 'late', 'with the late event');

# --- a query that has failed for another reason before does not go on either: retry() would read on above events that it lacks
foreach my $database ('rewound', 'late')
{
    $node->safe_psql($database, q{
        CREATE OR REPLACE FUNCTION public.order_placed(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
        BEGIN
            IF event #>> '{data,amount}' = '666' THEN
                RAISE 'as wanted';
            END IF;
            RETURN jsonb_build_object('orders', coalesce((state ->> 'orders')::bigint, 0) + 1);
        END $$});
    define_orders($node, $database);
    wait_ready($node, $database, "database $database: an updater that can fail");
}
$hole = $node->safe_psql('late', q{SELECT nextval('public.events_position_seq')});
$after = append_order($node, 'late', 'customer 1', 1);
$node->safe_psql('late', "SELECT readmodel.wait_for('orders', $after, '20 s')");
foreach my $database ('rewound', 'late')
{
    append_order($node, $database, 'customer 1', 666);
    failed_with($database, 'updater_error', "database $database: it fails");
}
$node->safe_psql('late', qq{
    INSERT INTO public.events (position, stream_id, type, data) OVERRIDING SYSTEM VALUE
    VALUES ($hole, 'customer 1', 'OrderPlaced', '{"amount": 1000}')});
$node->safe_psql('rewound', 'TRUNCATE public.events RESTART IDENTITY');
failed_with('rewound', 'source_rewound', 'the sequence went back under a query that had failed');
not_retried('rewound');
failed_with('late', 'late_event', 'an event came late below a query that had failed');
not_retried('late');

$node->stop;
done_testing();
