# A writer that ends after the page was read and before its mark is taken: nobody holds the lock, so the mark is proved at once,
# but only under another snapshot than the page's, which does not show what that writer has committed.
#
# Guards the new snapshot of each attempt in Lane::fold_settled. Seen to fail with the snapshot taken once, before the loop.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;
use ReadModelFaults;

my $node = fault_server('again', 'readmodel.poll_interval = 100');
append_orders($node, 'postgres', 50);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');

# The writer's number lies before one that the page shows.
stop_at('before_read', 'tail');
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN');
$session->query_safe(q{INSERT INTO public.events (stream_id, type, data) VALUES ('customer 1', 'OrderPlaced', '{"amount": 7}')});
append_order($node, 'postgres', 'customer 2', 8);
fault('after_snapshot', 'stop', 'tail');
release('before_read');
wait_stopped('after_snapshot', 'tail', 'the tail has a snapshot that does not show the open writer');
$session->query_safe('COMMIT');
release('after_snapshot');
recovered('a commit under the snapshot of a page');
$session->quit;

$node->stop;
done_testing();
