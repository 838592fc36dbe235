# A rebuild lane in which one table of states cannot be written: the others of the lane go on, and the status names the reason.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

# Small pages, so that the queries are rebuilt rather than caught up with by the tail.
my $node = new_server('cannot_write', 'readmodel.batch_size = 100', 'readmodel.flush_interval = 50');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 3000);

# In one transaction with query "orders", so that both share a lane.
sub define_with_orders
{
    my ($name, $more) = @_;
    $node->safe_psql('postgres', qq{
        BEGIN;
        SELECT readmodel.define_query('orders', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream');
        SELECT readmodel.define_query('$name', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream');
        } . ($more // '') . 'COMMIT');
}

sub state_table
{
    my ($name) = @_;
    return $node->safe_psql('postgres', qq{
        SELECT state_table FROM readmodel_catalog.generation JOIN readmodel_catalog.query USING (query_id)
        WHERE name = '$name'});
}

sub status_of
{
    my ($name) = @_;
    return $node->safe_psql('postgres', "SELECT status || ': ' || reason FROM readmodel.status() WHERE name = '$name'");
}

sub becomes
{
    my ($name, $condition, $what) = @_;
    ok($node->poll_query_until('postgres', "SELECT $condition FROM readmodel.status() WHERE name = '$name'"), $what)
      or diag($node->safe_psql('postgres', 'SELECT name, status, reason, position, error_message FROM readmodel.status()'));
}

sub drop_queries
{
    $node->safe_psql('postgres', qq{SELECT readmodel.drop_query('$_')}) foreach @_;
}

# A constraint that the states come to violate.
define_with_orders('refused', q{
    DO $$ BEGIN
        EXECUTE (SELECT format('ALTER TABLE %s ADD CHECK ((state ->> ''orders'')::bigint < 100)', state_table)
                 FROM readmodel_catalog.generation JOIN readmodel_catalog.query USING (query_id) WHERE name = 'refused');
    END $$;});
becomes('refused', q{status = 'failed' AND reason LIKE '%23514%'}, 'the query whose table refuses a state fails');
wait_ready($node, 'postgres', 'the other one becomes ready');
states_equal_oracle($node, 'postgres', 'its states are right');
applied_once($node, 'postgres', 'each event was applied once');
drop_queries('orders', 'refused');

# A table that somebody locks in mid-rebuild.
sub set_rate
{
    my ($limit) = @_;
    $node->append_conf('postgresql.conf', "readmodel.rebuild_rate_limit = $limit");
    $node->reload;
}

set_rate(200);
define_with_orders('locked');
ok($node->poll_query_until('postgres', q{SELECT min(position) > 0 FROM readmodel_catalog.checkpoint}),
    'a part of the rebuild is stored');
my $worker = worker_pid($node, 'rebuild');
my $holder = $node->background_psql('postgres', on_error_die => 1);
my $pid = $holder->query_safe('SELECT pg_backend_pid()');
$holder->query_safe('BEGIN; LOCK TABLE ' . state_table('locked') . ' IN ACCESS EXCLUSIVE MODE');
becomes('locked', "status = 'stalled' AND reason LIKE 'lock: waits for pid $pid%'",
    'the query whose table is locked is stalled, and the reason names who holds the lock');
set_rate(0);
wait_ready($node, 'postgres', 'the other one becomes ready meanwhile');
states_equal_oracle($node, 'postgres', 'its states are right');
applied_once($node, 'postgres', 'each event was applied once');
like(status_of('locked'), qr/^stalled: lock: waits for pid $pid/, 'the locked one still says why it waits');
is(worker_pid($node, 'rebuild'), $worker, 'the same worker goes on trying');
$holder->query_safe('COMMIT');
becomes('locked', q{status = 'ready'}, 'after the release it becomes ready');
is($node->safe_psql('postgres', q{
    SELECT count(*), count(*) FILTER (WHERE a.state IS DISTINCT FROM b.state)
    FROM readmodel.orders a FULL JOIN readmodel.locked b USING (id)}), '20|0', 'with the same states as the other one');
$holder->quit;

$node->stop;
done_testing();
