# Injection points (src/worker/faults.hpp) for tests: a process is stopped, fails or is killed at a named place.
#
#     fault('before_commit', 'stop', 'tail');           # the next tail worker that comes by stands still there
#     wait_stopped('before_commit', 'tail', 'what');
#     .. look around ..
#     release('before_commit');
#
# They work in a build with FAULTS=1 only. The functions are declared here: the extension does not know them.
package ReadModelFaults;

use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use ReadModelCluster;

our @EXPORT = qw(fault_server fault stop_at release disarm wait_stopped wait_fault_used stopped_pid wait_crash
  truthful wait_truthful recovered settings launcher_pid rebuild_begun newest_states statement);

my ($node, $database);

# A server with a shop, and the injection points declared. It is the one that all functions here speak to.
sub fault_server
{
    my ($name, @settings) = @_;
    $database = 'postgres';
    $node = new_server($name, 'readmodel.synchronous_commit = on', @settings);
    make_shop($node, $database);
    $node->safe_psql($database, q{
        CREATE SCHEMA faults;
        CREATE FUNCTION faults.arm(point text, action text, who text, times int, sqlstate text) RETURNS void
        LANGUAGE C AS '$libdir/pg_readmodel', 'readmodel_fault_arm';
        CREATE FUNCTION faults.release(point text, who text) RETURNS void
        LANGUAGE C AS '$libdir/pg_readmodel', 'readmodel_fault_release';
        CREATE FUNCTION faults.disarm(point text, who text) RETURNS void
        LANGUAGE C AS '$libdir/pg_readmodel', 'readmodel_fault_disarm';
        CREATE FUNCTION faults.list()
        RETURNS TABLE (point text, who text, action text, remaining bigint, hits bigint, stopped int)
        LANGUAGE C AS '$libdir/pg_readmodel', 'readmodel_fault_list';
        -- What every event should have led to, up to a position.
        CREATE FUNCTION faults.oracle(up_to bigint) RETURNS TABLE (id text, state jsonb) LANGUAGE sql
        BEGIN ATOMIC
            SELECT stream_id, jsonb_build_object('orders', count(*), 'total', sum((data ->> 'amount')::bigint),
                'positions', jsonb_agg(position ORDER BY position))
            FROM public.events WHERE position <= up_to GROUP BY stream_id;
        END;
        -- Everything under the snapshot of the statement that calls it, as it is STABLE.
        CREATE FUNCTION faults.claims(query text, OUT status text, OUT reached bigint, OUT at_end boolean, OUT wrong bigint,
            OUT alive boolean, OUT reason text) LANGUAGE plpgsql STABLE AS $$
        DECLARE
            said record;
        BEGIN
            SELECT * INTO STRICT said FROM readmodel.status() s WHERE s.name = query;
            status := said.status;
            reason := said.reason;
            reached := coalesce(said.position, -1);
            at_end := reached >= coalesce((SELECT max(e.position) FROM public.events e), -1);
            EXECUTE format('SELECT count(*) FROM %s FULL JOIN faults.oracle($1) oracle USING (id)
                WHERE %1$s.state IS DISTINCT FROM oracle.state', readmodel.state_table(query, said.generation))
            INTO wrong USING reached;
            alive := status <> 'ready' OR EXISTS (SELECT FROM pg_stat_activity WHERE pid = said.worker_pid);
        END $$});
    return $node;
}

# What happens to whoever of a kind (tail, rebuild, catch_up, any) comes to the point: once, or that many times; 0: always.
sub fault
{
    my ($point, $action, $who, $times, $sqlstate) = @_;
    $times = defined $times ? ($times || 'NULL') : 1;
    $sqlstate //= 'XX000';
    $node->safe_psql($database, "SELECT faults.arm('$point', '$action', '$who', $times, '$sqlstate')");
}

sub stop_at
{
    my ($point, $who) = @_;
    fault($point, 'stop', $who);
    wait_stopped($point, $who, "the $who stands at $point");
}

sub release
{
    my ($point) = @_;
    statement("SELECT faults.release('$point', 'any')");
}

sub disarm
{
    $node->safe_psql($database, q{SELECT faults.disarm(NULL, 'any')});
}

# A statement that may kill a process, and with it its own session before that has the answer.
sub statement
{
    my ($statement) = @_;
    $node->psql($database, $statement);
}

# Nothing of what was armed is left to happen.
sub wait_fault_used
{
    my ($point, $who, $what) = @_;
    wait_until($node, $database,
        "EXISTS (SELECT FROM faults.list() WHERE point = '$point' AND who = '$who' AND remaining = 0)", $what)
      or die("nobody came to $point\n");
}

sub wait_stopped
{
    my ($point, $who, $what) = @_;
    wait_until($node, $database,
        "EXISTS (SELECT FROM faults.list() WHERE point = '$point' AND who = '$who' AND stopped IS NOT NULL)", $what)
      or die("nobody came to $point; hits:\n" . $node->safe_psql($database, 'SELECT * FROM faults.list() WHERE hits > 0') . "\n");
}

sub stopped_pid
{
    my ($point, $who) = @_;
    return $node->safe_psql($database, "SELECT stopped FROM faults.list() WHERE point = '$point' AND who = '$who'");
}

# The server has come back after one of its processes was killed: another launcher runs. Call it with the launcher's pid before.
sub wait_crash
{
    my ($launcher, $what) = @_;
    wait_until($node, $database,
        "EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'pg_readmodel launcher' AND pid <> $launcher)", $what);
}

# The table of states of the generation that the status speaks of.
sub newest_states
{
    my ($query) = @_;
    return $node->safe_psql($database,
        "SELECT readmodel.state_table(name, generation) FROM readmodel.status() WHERE name = '$query'");
}

# One statement on a fresh connection, so one snapshot: the states are those of exactly the events up to the position that the
# status names, and "ready" is said only while a process lives that keeps it so.
sub claims
{
    my ($query) = @_;
    return split /\|/, $node->safe_psql($database, "SELECT * FROM faults.claims('$query')"), -1;
}

sub truthful
{
    my ($query, $what) = @_;
    my ($status, $position, $at_end, $wrong, $alive, $reason) = claims($query);
    return ok($wrong == 0 && $alive eq 't', "$what: the status is true ($status at $position)")
      || diag("$wrong states differ from the events up to $position; status $status, $reason; a worker lives: $alive");
}

# Until it is ready with every event; on the way, whatever the status says has to be true.
sub wait_truthful
{
    my ($query, $what) = @_;
    my @seen;
    for (my $i = 0; $i < 400; $i++)
    {
        # A crash ends the connection.
        my @claims = eval { claims($query) };
        if (@claims)
        {
            my ($status, $position, $at_end, $wrong, $alive, $reason) = @claims;
            push @seen, "$status at $position ($reason)" if !@seen || $seen[-1] ne "$status at $position ($reason)";
            if ($wrong != 0 || $alive ne 't')
            {
                fail("$what: the status is true until the query is ready");
                diag("$wrong states differ from the events up to $position; a worker lives: $alive; was: @seen");
                return 0;
            }
            return pass("$what: ready with the right states, and the status was true on the way")
              if $status eq 'ready' && $at_end eq 't';
        }
        usleep(25_000);
    }
    fail("$what: the query becomes ready");
    diag("was: @seen");
    return 0;
}

# Every state, up to the last event, is that of the oracle, and each event counted once.
sub recovered
{
    my ($what) = @_;
    wait_truthful('orders', $what);
    applied_once($node, $database, "$what: each event was applied once");
}

# Defines the query, and leaves its rebuild with one page of 100 events stored, at the beginning of the second.
sub rebuild_begun
{
    my ($what) = @_;
    fault('before_read', 'stop', 'rebuild');
    define_orders($node, $database);
    wait_stopped('before_read', 'rebuild', "$what: a rebuild begins");
    # It stood for longer than readmodel.flush_interval, so it flushes after this page; and then again.
    fault('before_read', 'stop', 'rebuild');
    release('before_read');
    wait_until($node, $database,
        q{(SELECT position >= 100 FROM readmodel_catalog.checkpoint)
          AND EXISTS (SELECT FROM faults.list() WHERE point = 'before_read' AND who = 'rebuild' AND stopped IS NOT NULL)},
        "$what: a part of it is stored") or die("the rebuild does not begin\n");
}

sub settings
{
    my (@lines) = @_;
    $node->append_conf('postgresql.conf', join("\n", @lines, ''));
    $node->reload;
}

sub launcher_pid
{
    return worker_pid($node, 'launcher');
}

1;
