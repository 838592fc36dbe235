# A throw-away server with the library preloaded, a small shop in it, and the oracle: every state must equal a plain SQL fold
# over all events.
package ReadModelCluster;

use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TestProcess;    # a test that is told to end stops its servers

our @EXPORT = qw(new_server make_shop append_orders define_orders wait_ready wait_tail no_tail tail_pid worker_pid reason
  states_equal_oracle applied_once wait_until equal_up_to append_order query_equals_oracle);

# A client that finds no server, since it is just coming back from a crash, may end before it was given its statement. IPC::Run takes
# that for an error of the test.
{
    no warnings 'redefine';
    my $poll = \&PostgreSQL::Test::Cluster::poll_query_until;
    *PostgreSQL::Test::Cluster::poll_query_until = sub {
        my @arguments = @_;
        for my $try (1 .. 20)
        {
            my $result = eval { $poll->(@arguments) };
            return $result if $@ eq '';
            die $@ if $@ !~ /Broken pipe/ || $try == 20;
        }
    };
}

# A server that was started, with the given lines in its configuration.
sub new_server
{
    my ($name, @settings) = @_;
    my $node = PostgreSQL::Test::Cluster->new($name);
    $node->init;
    $node->append_conf('postgresql.conf', join("\n",
        "shared_preload_libraries = 'pg_readmodel'",
        'restart_after_crash = on',    # PostgreSQL::Test::Cluster turns it off
        'max_prepared_transactions = 4',
        'fsync = off',
        @settings, ''));
    $node->start;
    return $node;
}

# The extension, an event table, its source, and an updater.
sub make_shop
{
    my ($node, $database) = @_;
    $node->safe_psql($database, q{
        CREATE EXTENSION IF NOT EXISTS pg_readmodel;
        SELECT readmodel.create_event_table('public.events');
        SELECT readmodel.create_source('shop', 'public.events');
        CREATE FUNCTION public.order_placed(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
        RETURN jsonb_build_object(
            'orders', coalesce((state ->> 'orders')::bigint, 0) + 1,
            'total', coalesce((state ->> 'total')::bigint, 0) + (event #>> '{data,amount}')::bigint,
            'positions', coalesce(state -> 'positions', '[]'::jsonb) || (event -> 'position'));
    });
}

# More orders, from 20 customers.
sub append_orders
{
    my ($node, $database, $count) = @_;
    $node->safe_psql($database, qq{
        INSERT INTO public.events (stream_id, type, data)
        SELECT 'customer ' || (i % 20), 'OrderPlaced', jsonb_build_object('amount', i)
        FROM generate_series(1, $count) i});
}

sub define_orders
{
    my ($node, $database) = @_;
    $node->safe_psql($database,
        q{SELECT readmodel.define_query('orders', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream')});
}

sub wait_ready
{
    my ($node, $database, $what) = @_;
    ok($node->poll_query_until($database, q{SELECT readmodel.readiness('orders') = 'ready'}), $what)
      or diag($node->safe_psql($database, 'SELECT name, status, reason, position, error_message FROM readmodel.status()'));
}

sub reason
{
    my ($node, $database) = @_;
    return $node->safe_psql($database, q{SELECT status || ': ' || reason FROM readmodel.status() WHERE name = 'orders'});
}

# The pid of the worker of a kind ("tail", "rebuild", "launcher"), or nothing.
sub worker_pid
{
    my ($node, $kind, $database) = @_;
    my $where = defined $database ? "AND datname = '$database'" : '';
    return $node->safe_psql('postgres',
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_readmodel $kind' $where LIMIT 1");
}

sub tail_pid
{
    my ($node, $database) = @_;
    return worker_pid($node, 'tail', $database);
}

my $tails = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_readmodel tail' AND datname = '%s'};

sub wait_tail
{
    my ($node, $database, $what) = @_;
    ok($node->poll_query_until('postgres', sprintf($tails, $database), '1'), $what);
}

sub no_tail
{
    my ($node, $database, $what) = @_;
    ok($node->poll_query_until('postgres', sprintf($tails, $database), '0'), $what);
}

# Every instance, and the position that was reached.
sub states_equal_oracle
{
    my ($node, $database, $what) = @_;
    $node->safe_psql($database,
        q{SELECT readmodel.wait_for('orders', (SELECT coalesce(max(position), 0) FROM public.events), '60 s')});
    is($node->safe_psql($database, q{
        SELECT count(*), count(*) FILTER (WHERE state IS DISTINCT FROM expected)
        FROM readmodel.orders
        FULL JOIN (
            SELECT stream_id AS id, jsonb_build_object('orders', count(*), 'total', sum((data ->> 'amount')::bigint),
                'positions', jsonb_agg(position ORDER BY position)) AS expected
            FROM public.events GROUP BY stream_id) oracle USING (id)}),
        $node->safe_psql($database, 'SELECT count(DISTINCT stream_id), 0 FROM public.events'), $what);
}

# The checkpoint counts every event, and counts it once.
sub applied_once
{
    my ($node, $database, $what) = @_;
    is($node->safe_psql($database, q{
        SELECT events_applied
        FROM readmodel_catalog.query q
        JOIN readmodel_catalog.generation g ON g.query_id = q.query_id AND g.generation = q.serving
        JOIN readmodel_catalog.checkpoint USING (generation_id)
        WHERE name = 'orders'}),
        $node->safe_psql($database, 'SELECT count(*) FROM public.events'), $what);
}

# A condition that has to come true within 20 s (longer in proportion where PG_TEST_TIMEOUT_DEFAULT is above its 180 s: servers
# under a checker are slow); otherwise what the queries say is shown.
sub wait_until
{
    my ($node, $database, $condition, $what) = @_;
    local $PostgreSQL::Test::Utils::timeout_default = 20 * $PostgreSQL::Test::Utils::timeout_default / 180;
    return ok($node->poll_query_until($database, "SELECT $condition"), $what)
      || diag($node->safe_psql($database, 'SELECT name, status, reason, position, error_message FROM readmodel.status()'));
}

# The states of a query that folds orders, as they stand, are those of exactly the events up to a position. The table of states
# is read, since a query that has failed may not be.
sub equal_up_to
{
    my ($node, $database, $query, $position, $what) = @_;
    my $states = $node->safe_psql($database, "SELECT readmodel.state_table('$query')");
    return is($node->safe_psql($database, qq{
        SELECT count(*), count(*) FILTER (WHERE state IS DISTINCT FROM expected)
        FROM $states
        FULL JOIN (
            SELECT stream_id AS id, jsonb_build_object('orders', count(*), 'total', sum((data ->> 'amount')::bigint),
                'positions', jsonb_agg(position ORDER BY position)) AS expected
            FROM public.events WHERE position <= $position GROUP BY stream_id) oracle USING (id)}),
        $node->safe_psql($database,
            "SELECT count(DISTINCT stream_id), 0 FROM public.events WHERE position <= $position"), $what);
}

# Every generation of a query that folds orders by stream has all events, each once, and is at the last one. Nobody appends meanwhile.
sub query_equals_oracle
{
    my ($node, $database, $query) = @_;
    my $head = $node->safe_psql($database, 'SELECT max(position) FROM public.events');
    my $reached = "bool_and(position >= $head AND status = 'ready') FROM readmodel.generations('$query')";
    wait_until($node, $database, $reached, "$query: all generations are ready and at the last event");
    # Numbers that were rolled back after the last event are passed over too.
    my $expected = $node->safe_psql($database, 'SELECT count(*), max(position), count(DISTINCT stream_id), 0 FROM public.events');
    my $stored = $node->safe_psql($database, qq{
        SELECT generation, state_table FROM readmodel_catalog.generation JOIN readmodel_catalog.query USING (query_id)
        WHERE name = '$query' AND state_table IS NOT NULL ORDER BY generation});
    foreach my $row (split /\n/, $stored)
    {
        my ($generation, $states) = split /\|/, $row;
        is($node->safe_psql($database, qq{
            SELECT events_applied, CASE WHEN c.position <= (SELECT last_value FROM public.events_position_seq)
                THEN least(c.position, $head) ELSE c.position END, instances, (
                SELECT count(*) FROM $states AS stored
                FULL JOIN (
                    SELECT stream_id AS id, jsonb_build_object('orders', count(*), 'total', sum((data ->> 'amount')::bigint),
                        'positions', jsonb_agg(position ORDER BY position)) AS state, max(position) AS position
                    FROM public.events GROUP BY stream_id) AS oracle USING (id)
                WHERE (stored.state::text, stored.position) IS DISTINCT FROM (oracle.state::text, oracle.position))
            FROM readmodel_catalog.checkpoint AS c
            JOIN readmodel_catalog.generation AS g USING (generation_id)
            WHERE g.state_table = '$states'::regclass}),
            $expected, "$query, generation $generation: events, checkpoint, instances and states are the oracle's");
    }
    return;
}

# One order, and its position.
sub append_order
{
    my ($node, $database, $stream, $amount) = @_;
    return $node->safe_psql($database, qq{
        INSERT INTO public.events (stream_id, type, data)
        VALUES ('$stream', 'OrderPlaced', jsonb_build_object('amount', $amount)) RETURNING position});
}

1;
