# Compares the states of a generation with what the events up to its position make: every instance, byte for byte, with the position
# of its last event, and how many events were applied. Dead letters are exactly the events that its updater refuses.
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
            shown.status, shown.position, c.position AS stored, c.events_applied, c.instances, f.reason AS failure,
            f.position AS failed_at, c.shares, b.code,
            (SELECT ARRAY[coalesce(min(coalesce(position, -1)), -1), coalesce(max(position), -1)] FROM readmodel_catalog.share s
                WHERE s.generation_id = g.generation_id) AS shared
        FROM readmodel_catalog.query q
        JOIN readmodel_catalog.source s USING (source_id)
        JOIN readmodel_catalog.generation g USING (query_id)
        JOIN readmodel_catalog.checkpoint c USING (generation_id)
        LEFT JOIN readmodel_catalog.failure f USING (generation_id)
        LEFT JOIN torture.bodies b ON b.hash = g.definition_hash
        CROSS JOIN LATERAL readmodel.generations(q.name) shown
        WHERE shown.generation = g.generation
        ORDER BY q.name, g.generation}, { Slice => {} });
    foreach my $row (@$rows)
    {
        $row->{definition} = Torture::Queries::parse_version($row->{version});
        $row->{definition}{code} = $row->{code} if Torture::Queries::replaced_in_place($row->{definition}{template});
    }
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

# Refused up to `least` and not a letter, or a letter that is none up to `most`. An event that was corrected meanwhile may be either.
sub letters
{
    my ($dbh, $generation, $least, $most) = @_;
    my $events = Torture::Queries::concerned($generation);
    my ($now, $before) = map { Torture::Queries::refused($generation, $_) } 0, 1;
    my $id = $generation->{generation_id};
    my $missing = $dbh->selectcol_arrayref(qq{SELECT DISTINCT position FROM $events WHERE position <= \$1 AND $now
        AND NOT EXISTS (SELECT FROM readmodel_catalog.dead_letter l WHERE l.generation_id = $id AND l.position = e.position)
        ORDER BY 1}, undef, $least);
    my $wrong = $dbh->selectcol_arrayref(qq{SELECT position FROM readmodel_catalog.dead_letter l WHERE generation_id = $id
        AND NOT EXISTS (SELECT FROM $events WHERE e.position = l.position AND e.position <= \$1 AND ($now OR $before))
        ORDER BY 1}, undef, $most);
    my ($count) = $dbh->selectrow_array("SELECT count(*) FROM readmodel_catalog.dead_letter WHERE generation_id = $id");
    my @faults;
    push @faults, "neither applied nor dead letters: @$missing" if @$missing;
    push @faults, "dead letters that are none: @$wrong" if @$wrong;
    return ($count, @faults);
}

# A generation with on_error = fail stands right before the first event that it refuses.
sub standstill
{
    my ($dbh, $generation) = @_;
    return () if ($generation->{failure} // '') ne 'updater_error';
    my $events = Torture::Queries::concerned($generation);
    my $now = Torture::Queries::refused($generation, 0);
    my ($between, $refused, $there) = $dbh->selectrow_array(qq{
        SELECT count(*) FILTER (WHERE position < \$2), count(*) FILTER (WHERE position = \$2 AND $now),
            count(*) FILTER (WHERE position = \$2) FROM $events WHERE position > coalesce(\$1::bigint, -1) AND position <= \$2},
        undef, $generation->{stored}, $generation->{failed_at});
    # Nothing there: it was deleted since.
    return $between || ($there && !$refused) ? "it failed at $generation->{failed_at}, but stands at "
      . ($generation->{stored} // 'nothing') . " with $between events in between, and the event there is "
      . ($refused ? '' : 'not ') . 'refused' : ();
}

# Returns {instances, events, letters, faults => [text, ..]}; `relation`: its table of states, or the view.
sub compare
{
    my ($dbh, $generation, $relation) = @_;
    return { events => 0, instances => 0, different => 0, letters => 0, faults => ['its definition hash was not foretold'] }
      if !defined $generation->{definition}{code};
    if ($generation->{shares} > 1)
    {
        # Each lane stands elsewhere, and which instances are whose only the extension knows.
        my ($count, @faults) = letters($dbh, $generation, @{ $generation->{shared} });
        return { events => 0, instances => 0, different => 0, letters => $count, split => 1, faults => \@faults };
    }
    my $expected = Torture::Queries::expected($generation);
    my ($events, $instances, $found, $different) = $dbh->selectrow_array(qq{
        WITH $expected
        SELECT (SELECT count(DISTINCT position) FROM keyed), (SELECT count(*) FROM expected), (SELECT count(*) FROM $relation),
            (SELECT count(*) FROM expected FULL JOIN $relation AS found USING (id) WHERE $difference)}, undef, $generation->{position});
    my ($letters, @faults) = letters($dbh, $generation, ($generation->{position}) x 2);
    push @faults, standstill($dbh, $generation);
    push @faults, "$different of $instances instances differ" if $different;
    push @faults, "$events events concern it, but $generation->{events_applied} were applied" if $events != $generation->{events_applied};
    push @faults, "it has $found instances, but its checkpoint counts $generation->{instances}" if $found != $generation->{instances};
    return { events => $events, instances => $instances, different => $different, letters => $letters, faults => \@faults };
}

# The instance whose difference lies at the lowest position.
sub first_difference
{
    my ($dbh, $generation, $relation) = @_;
    my $expected = Torture::Queries::expected($generation);
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
    my $keyed = Torture::Queries::keyed($generation);
    return @{ $dbh->selectall_arrayref(qq{
        WITH $keyed
        SELECT position, type, xmin, pg_xact_commit_timestamp(xmin) AS committed,
            extract(epoch FROM pg_xact_commit_timestamp(xmin)) AS committed_epoch,
            data ->> 'writer' AS writer, data ->> 'step' AS step, (data ->> 'amount')::bigint AS amount
        FROM keyed WHERE id::text = \$2 ORDER BY position}, { Slice => {} }, $generation->{position}, $id) };
}

1;
