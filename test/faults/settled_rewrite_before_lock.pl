# An ALTER TABLE that rewrites the event table just before a page locks it leaves the page's snapshot with all events: the
# snapshot is taken after the lock. One from before shows an empty table, in which everything up to the settled position would
# look dead, or like an end of the log.
#
# Guards the order of the lock and FreshSnapshot in Lane::fold_settled (the tail) and Lane::fold_up_to (the rebuild), and
# source::watched_changed() between them: a worker that notices the change begins anew, so either alone suffices. Seen to fail, in
# both parts, with the snapshot taken before the lock and without the look at watched_changed().
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;
use ReadModelFaults;

my $node = fault_server('rewrite', 'readmodel.poll_interval = 100', 'readmodel.batch_size = 100',
    'readmodel.flush_interval = 10');
append_orders($node, 'postgres', 500);

# A default that differs from row to row.
sub rewrite
{
    my ($column) = @_;
    my $file = q{SELECT pg_relation_filenode('public.events')};
    my $before = $node->safe_psql('postgres', $file);
    $node->safe_psql('postgres', "ALTER TABLE public.events ADD COLUMN $column double precision DEFAULT random()");
    isnt($node->safe_psql('postgres', $file), $before, 'the table is rewritten');
}

# A rebuild in its second page.
rebuild_begun('a rewrite under a rebuild');
fault('before_lock', 'stop', 'rebuild');
release('before_read');
wait_stopped('before_lock', 'rebuild', 'the rebuild has not locked the table yet');
rewrite('first');
release('before_lock');
recovered('a rewrite under a rebuild');

# The tail, with a mark whose holder has just ended: what the next snapshot does not show is dead.
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN');
$session->query_safe(q{INSERT INTO public.events (stream_id, type, data) VALUES ('customer 1', 'OrderPlaced', '{"amount": 7}')});
append_order($node, 'postgres', 'customer 2', 8);
wait_until($node, 'postgres', q{(SELECT pending_hole IS NOT NULL FROM readmodel.source_status())}, 'a mark pends');
stop_at('before_read', 'tail');
$session->query_safe('COMMIT');
fault('before_lock', 'stop', 'tail');
release('before_read');
wait_stopped('before_lock', 'tail', 'the tail has not locked the table yet');
rewrite('second');
release('before_lock');
recovered('a rewrite under the tail');
$session->quit;

$node->stop;
done_testing();
