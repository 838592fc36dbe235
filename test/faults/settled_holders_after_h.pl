# A writer that takes the sequence's lock and draws between the two questions of a mark, and stays open: H is asked for first, so
# its number lies above H, or the writer is among the holders. With the holders asked for first it would be below H and not among
# them, and its event would look dead.
#
# Guards the order in SettledPosition::take_mark. Seen to fail with witness.holders() called before witness.last_drawn().
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;
use ReadModelFaults;

my $node = fault_server('holders', 'readmodel.poll_interval = 100');
append_orders($node, 'postgres', 50);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');

my $order = q{INSERT INTO public.events (stream_id, type, data) VALUES ('customer 1', 'OrderPlaced', '{"amount": 7}')};

# A hole asks for a mark.
fault('within_mark', 'stop', 'tail');
$node->safe_psql('postgres', "BEGIN; $order; ROLLBACK");
append_order($node, 'postgres', 'customer 2', 8);
wait_stopped('within_mark', 'tail', 'the tail stands between the two questions of the mark');

my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN');
my $position = $session->query_safe("$order RETURNING position");
my $last = append_order($node, 'postgres', 'customer 2', 9);
release('within_mark');

# Steps go by in which the tail could pass the open writer over.
foreach my $step (1 .. 3)
{
    stop_at('before_read', 'tail');
    cmp_ok($node->safe_psql('postgres', q{SELECT settled_position FROM readmodel.source_status()}), '<', $position,
        'the open writer keeps its position from being settled');
    truthful('orders', 'with an open writer');
    release('before_read');
}
$session->query_safe('COMMIT');
recovered('a writer that drew within a mark');
$session->quit;

$node->stop;
done_testing();
