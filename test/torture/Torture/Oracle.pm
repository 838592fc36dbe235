# Compares the states of a generation with what the events up to its position make: every instance, byte for byte, with the position
# of its last event, and how many events were applied.
package Torture::Oracle;

use strict;
use warnings;
use Torture::Queries;
use Torture::Tables;

# Every generation that this snapshot sees, a hash each.
sub generations
{
    my ($dbh) = @_;
    my $rows = $dbh->selectall_arrayref(q{
        SELECT q.name AS query, g.generation, g.generation_id, g.version, g.state_table::regclass::text AS state_table,
            q.view::regclass::text AS view, q.serving = g.generation AS serving, q.newest = g.generation AS newest, s.name AS kind,
            shown.status, shown.position, c.position AS stored, c.events_applied, c.instances, f.reason AS failure
        FROM readmodel_catalog.query q
        JOIN readmodel_catalog.source s USING (source_id)
        JOIN readmodel_catalog.generation g USING (query_id)
        JOIN readmodel_catalog.checkpoint c USING (generation_id)
        LEFT JOIN readmodel_catalog.failure f USING (generation_id)
        CROSS JOIN LATERAL readmodel.generations(q.name) shown
        WHERE shown.generation = g.generation
        ORDER BY q.name, g.generation}, { Slice => {} });
    $_->{definition} = Torture::Queries::parse_version($_->{version}) foreach @$rows;
    # A number: dropped since the snapshot.
    return grep { $_->{state_table} !~ /^\d+$/ && $_->{view} !~ /^\d+$/ } @$rows;
}

# Locks come before the snapshot: one from before a rewrite of the table would see no events.
sub begin_snapshot
{
    my ($dbh) = @_;
    $dbh->do('BEGIN ISOLATION LEVEL REPEATABLE READ');
    $dbh->do('LOCK TABLE ' . join(', ', map { $Torture::Tables::kinds{$_}{table} } Torture::Tables::names()) . ' IN ACCESS SHARE MODE');
    return;
}

my $difference = q{expected.state::text COLLATE "C" IS DISTINCT FROM found.state::text COLLATE "C"
    OR expected.position IS DISTINCT FROM found.position};

# Returns {instances, events, faults => [text, ..]}; `relation`: its table of states, or the view.
sub compare
{
    my ($dbh, $generation, $relation) = @_;
    my $expected = Torture::Queries::expected($generation->{kind}, $generation->{definition});
    my ($events, $instances, $found, $different) = $dbh->selectrow_array(qq{
        WITH $expected
        SELECT (SELECT count(DISTINCT position) FROM keyed), (SELECT count(*) FROM expected), (SELECT count(*) FROM $relation),
            (SELECT count(*) FROM expected FULL JOIN $relation AS found USING (id) WHERE $difference)}, undef, $generation->{position});
    my @faults;
    push @faults, "$different of $instances instances differ" if $different;
    push @faults, "$events events concern it, but $generation->{events_applied} were applied" if $events != $generation->{events_applied};
    push @faults, "it has $found instances, but its checkpoint counts $generation->{instances}" if $found != $generation->{instances};
    return { events => $events, instances => $instances, different => $different, faults => \@faults };
}

# The instance whose difference lies at the lowest position.
sub first_difference
{
    my ($dbh, $generation, $relation) = @_;
    my $expected = Torture::Queries::expected($generation->{kind}, $generation->{definition});
    return $dbh->selectrow_hashref(qq{
        WITH $expected
        SELECT id::text AS id, expected.state::text AS expected_state, expected.position AS expected_position,
            found.state::text AS found_state, found.position AS found_position
        FROM expected FULL JOIN $relation AS found USING (id) WHERE $difference
        ORDER BY least(expected.position, found.position), id LIMIT 1}, undef, $generation->{position});
}

# The events that concern one instance.
sub events_of
{
    my ($dbh, $generation, $id) = @_;
    my $keyed = Torture::Queries::keyed($generation->{kind}, $generation->{definition});
    return @{ $dbh->selectall_arrayref(qq{
        WITH $keyed
        SELECT position, type, xmin, pg_xact_commit_timestamp(xmin) AS committed,
            extract(epoch FROM pg_xact_commit_timestamp(xmin)) AS committed_epoch,
            data ->> 'writer' AS writer, data ->> 'step' AS step, (data ->> 'amount')::bigint AS amount
        FROM keyed WHERE id::text = \$2 ORDER BY position}, { Slice => {} }, $generation->{position}, $id) };
}

1;
