# A writer that commits while its mark is being tested: the page's snapshot is taken after the test, so it shows what the writer
# has committed. One that was taken before it would not, and the event would look dead.
#
# Guards the order of settled.refresh() and FreshSnapshot in Lane::fold_settled. Seen to fail with the snapshot taken before
# settled.refresh().
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;
use ReadModelFaults;

my $node = fault_server('mark', 'readmodel.poll_interval = 100');
append_orders($node, 'postgres', 50);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');

my $order = q{INSERT INTO public.events (stream_id, type, data) VALUES ('customer 1', 'OrderPlaced', '{"amount": 7}')};

# At the test of the mark, then between the test and the snapshot, then under the snapshot.
foreach my $point (qw(before_mark_test before_snapshot after_snapshot))
{
    my $session = $node->background_psql('postgres');
    $session->query_safe('BEGIN');
    $session->query_safe($order);
    append_order($node, 'postgres', 'customer 2', 8);
    wait_until($node, 'postgres', q{(SELECT pending_hole IS NOT NULL FROM readmodel.source_status())}, 'a mark pends');
    stop_at($point, 'tail');
    $session->query_safe('COMMIT');
    truthful('orders', "a commit at $point");
    release($point);
    recovered("a commit at $point");
    $session->quit;
}

$node->stop;
done_testing();
