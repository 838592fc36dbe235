# H3: an error before, within and after the transaction that writes, and at every other point of a step, is tried again; no event
# is lost, none counts twice, and the status is true on the way. One that stays is told: a transient one as a stall that ends
# with its cause, another one in a flush as a failure that ends with retry().
#
# Guards Lane::abandon. Seen to fail with member.cursor left where it was.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;
use ReadModelFaults;

my $node = fault_server('errors_tail', 'readmodel.poll_interval = 100');
append_orders($node, 'postgres', 50);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');

# A transient error everywhere, another one around the write.
my @written = qw(before_checkpoint after_checkpoint before_commit after_commit);
foreach my $fault ((map { "40001 $_" } qw(before_read before_lock before_snapshot after_snapshot before_flush), @written,
    'before_publish'), map { "XX000 $_" } @written)
{
    my ($sqlstate, $point) = split / /, $fault;
    stop_at('before_read', 'tail');
    append_orders($node, 'postgres', 30);
    fault($point, 'error', 'tail', 1, $sqlstate);
    release('before_read');
    wait_fault_used($point, 'tail', "$fault: it came by");
    recovered($fault);
}

foreach my $fault ('40001 within_mark', 'XX000 before_mark_test')
{
    my ($sqlstate, $point) = split / /, $fault;
    $node->safe_psql('postgres', q{BEGIN; INSERT INTO public.events (stream_id, type, data)
        VALUES ('customer 1', 'OrderPlaced', '{"amount": 7}'); PREPARE TRANSACTION 'open'});
    fault($point, 'error', 'tail', 1, $sqlstate);
    append_orders($node, 'postgres', 30);
    wait_fault_used($point, 'tail', "$fault: it came by");
    $node->safe_psql('postgres', q{COMMIT PREPARED 'open'});
    recovered($fault);
}

foreach my $fault ('40001 before_takeover', 'XX000 before_takeover_commit', '40001 after_takeover_commit',
    'XX000 after_takeover_commit')
{
    my ($sqlstate, $point) = split / /, $fault;
    fault($point, 'error', 'tail', 1, $sqlstate);
    $node->safe_psql('postgres', qq{SELECT readmodel.define_query('orders', 'shop', 'public.order_placed(jsonb, jsonb)',
        key => 'stream', options => '{"version": "$fault"}')});
    wait_fault_used($point, 'tail', "$fault: it came by");
    recovered($fault);
}

my $status = q{(SELECT status || ' ' || reason FROM readmodel.status() WHERE name = 'orders')};

fault('after_checkpoint', 'error', 'tail', 0, '40001');
append_orders($node, 'postgres', 30);
wait_until($node, 'postgres', "$status LIKE 'stalled transient%'", 'a transient error that stays is a stall');
truthful('orders', 'a transient error stays');
disarm();
recovered('a transient error that stayed');

fault('after_checkpoint', 'error', 'tail', 0, 'XX000');
append_orders($node, 'postgres', 30);
wait_until($node, 'postgres', "$status LIKE 'failed updater_error: SQLSTATE XX000%'", 'another error of a flush that stays is a failure');
truthful('orders', 'another error stays');
disarm();
$node->safe_psql('postgres', q{SELECT readmodel.retry('orders')});
recovered('another error that stayed');

$node->stop;
done_testing();
