# Between the preparation of a takeover and the takeover itself, which may wait for the view's readers, somebody changes the older
# generation's table: the new one is given that too before it serves. And who is about to change it is waited for.
#
# Guards query::require_prepared. Seen to fail without its comparison, with a weaker lock, with a snapshot older than the lock, and without a look for an index that is not finished.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;
use ReadModelFaults;

# A takeover of catch_up is tried for as long as it may wait for a lock, and it is stopped before each try.
my $node = fault_server('takeover_after_changes', 'readmodel.poll_interval = 100', 'readmodel.lock_timeout = 60s');
append_orders($node, 'postgres', 20);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the first generation is ready');
$node->safe_psql('postgres', 'CREATE ROLE clerk');

sub state_table
{
    my ($generation) = @_;
    return $node->safe_psql('postgres', "SELECT readmodel.state_table('orders', $generation)");
}

sub serving
{
    return $node->safe_psql('postgres', 'SELECT serving FROM readmodel_catalog.query');
}

sub given
{
    my ($table) = @_;
    return $node->safe_psql('postgres', qq{SELECT has_table_privilege('clerk', '$table', 'SELECT'), reloptions,
        obj_description(oid, 'pg_class'), (SELECT count(*) FROM pg_index WHERE indrelid = pg_class.oid)
        FROM pg_class WHERE oid = '$table'::regclass});
}

sub define_again
{
    my ($version) = @_;
    return $node->safe_psql('postgres', qq{SELECT readmodel.define_query('orders', 'shop', 'public.order_placed(jsonb, jsonb)',
        key => 'stream', options => '{"version": "$version"}')});
}

my $tries = 0; # by takeovers that went before

# It stands before the takeover for the so many-th time.
sub wait_try
{
    my ($who, $try, $what) = @_;
    $try += $tries;
    wait_until($node, 'postgres', "EXISTS (SELECT FROM faults.list() WHERE point = 'before_takeover' AND who = '$who'
        AND hits = $try AND stopped IS NOT NULL)", "$who: $what") or die("nobody comes to the takeover\n");
}

foreach my $who (qw(tail catch_up))
{
    my $catch_up;
    if ($who eq 'catch_up')
    {
        settings('readmodel.enabled = off');
        no_tail($node, 'postgres', 'no worker');
    }
    my $older = state_table(serving());
    $node->safe_psql('postgres', "REVOKE ALL ON $older FROM clerk; ALTER TABLE $older RESET (fillfactor); COMMENT ON TABLE $older IS 'first'");
    $tries = $node->safe_psql('postgres', "SELECT hits FROM faults.list() WHERE point = 'before_takeover' AND who = '$who'") || 0;
    fault('before_takeover', 'stop', $who, 0);
    my $newer = define_again($who);
    if ($who eq 'catch_up')
    {
        $catch_up = $node->background_psql('postgres');
        $catch_up->query_until(qr/begun/, "\\echo begun\nCALL readmodel.catch_up('orders');\n");
    }
    wait_try($who, 1, 'prepared, and about to take over');
    $node->safe_psql('postgres', "GRANT SELECT ON $older TO clerk; ALTER TABLE $older SET (fillfactor = 70);
        CREATE INDEX ON $older ((state ->> '$who')); COMMENT ON TABLE $older IS '$who'");
    my $wanted = given($older);
    like($wanted, qr/^t\|.fillfactor=70.\|$who\|\d$/, "$who: what the older one is given now");
    release('before_takeover');
    wait_try($who, 2, 'it has to try again');
    isnt(serving(), $newer, "$who: .. the older one serves still");
    my $owner = $node->background_psql('postgres');
    $owner->query_safe("BEGIN; CREATE INDEX ON $older ((state -> '$who'))");
    release('before_takeover');
    wait_try($who, 3, '.. and again while an index is made');
    isnt(serving(), $newer, "$who: .. the older one serves still");
    # It is finished just before it would have been waited for.
    fault('before_table_lock', 'stop', $who);
    release('before_takeover');
    wait_stopped('before_table_lock', $who, "$who: the takeover is about to look for such an index");
    $owner->query_safe('COMMIT');
    $owner->quit;
    release('before_table_lock');
    wait_try($who, 4, '.. and again, as the index is new');
    isnt(serving(), $newer, "$who: .. the older one serves still");
    my $made = 1;
    # Nor one that is made CONCURRENTLY, which waits for a writer. (It would wait for the session of catch_up, too.)
    if ($who eq 'tail')
    {
        my $writer = $node->background_psql('postgres');
        $writer->query_safe("BEGIN; LOCK TABLE $older IN ROW EXCLUSIVE MODE");
        my $maker = $node->background_psql('postgres');
        $maker->query_until(qr/begun/, "\\echo begun\nCREATE INDEX CONCURRENTLY ON $older ((state -> 'slowly'));\n");
        wait_until($node, 'postgres', "EXISTS (SELECT FROM pg_index WHERE indrelid = '$older'::regclass AND NOT indisvalid)",
            'an index is made concurrently');
        release('before_takeover');
        wait_try($who, 5, '.. and again');
        isnt(serving(), $newer, "$who: .. the older one serves still");
        $writer->query_safe('COMMIT');
        $writer->quit;
        $maker->quit;
        $made = 2;
    }
    disarm();
    release('before_takeover');
    $catch_up->quit if $catch_up;
    is(serving(), $newer, "$who: the end of the call is the takeover") if $catch_up;
    settings('readmodel.enabled = on') if $catch_up;
    wait_until($node, 'postgres', "serving = $newer FROM readmodel_catalog.query", "$who: then it takes over");
    wait_ready($node, 'postgres', "$who: .. and is ready");
    is(given(state_table($newer)), $wanted =~ s/(\d)$/$1 + $made/er, "$who: .. with all that the older one was given");
}

$node->stop;
done_testing();
