# Makes what differs small: as few events and as little of the spec as still differ.
package Differential::Shrink;

use strict;
use warnings;
use Differential::Round;
use Time::HiRes qw(time);

# The query of a round of this log and this one spec, if it differs.
sub differs
{
    my ($round, $rows, $spec) = @_;
    my $small = Differential::Round->new(server => $round->{server}, seed => $round->{seed}, way => $round->{way}, rows => $rows, specs => [$spec]);
    my ($query) = eval { $small->run };
    my $error = $@;
    eval { $small->end; 1 } or die "cannot clean up: $@";
    # Smaller is of use only where it is the same kind of difference: none of these are.
    return if $error || !$query || $query->{refused};
    return $query;
}

# Every place of a spec that can be left out, the larger ones first.
sub places
{
    my ($round, $spec) = @_;
    return map { $_->[0] } @{ $round->dbh->selectall_arrayref(q{
        WITH RECURSIVE place AS (
            SELECT '{}'::text[] AS path, $1::jsonb AS part, 0 AS depth
            UNION ALL
            SELECT path || name, member, depth + 1
            FROM place, LATERAL (
                SELECT name, member FROM jsonb_each(CASE jsonb_typeof(part) WHEN 'object' THEN part END) AS o (name, member)
                UNION ALL
                SELECT (n - 1)::text, member
                FROM jsonb_array_elements(CASE jsonb_typeof(part) WHEN 'array' THEN part END) WITH ORDINALITY AS a (member, n)) AS below)
        SELECT path::text FROM place WHERE depth > 1 ORDER BY depth, path}, undef, $spec) };
}

sub fewer_rows
{
    my ($round, $rows, $spec, $give_up) = @_;
    my @rows = @$rows;
    for (my $size = int((@rows + 1) / 2); $size >= 1; $size = int($size / 2))
    {
        for (my $at = @rows - $size; $at >= 0 && time < $give_up; $at -= $size)
        {
            my @fewer = @rows;
            splice(@fewer, $at, $size);
            @rows = @fewer if @fewer && differs($round, \@fewer, $spec);
            $at = @rows if $at > @rows;
        }
    }
    return @rows;
}

sub smaller_spec
{
    my ($round, $rows, $spec, $give_up) = @_;
    my $tried = '';
    while (time < $give_up)
    {
        my $smaller;
        foreach my $place (places($round, $spec))
        {
            last if time >= $give_up;
            my ($without) = $round->dbh->selectrow_array('SELECT $1::jsonb #- $2::text[]', undef, $spec, $place);
            next if !eval { $round->dbh->do('SELECT spec_interpreter.compile($1)', undef, $without); 1 };
            next if !differs($round, $rows, $without);
            $spec = $smaller = $without;
            last;
        }
        last if !defined $smaller;
    }
    return $spec;
}

# Every row with such an expression in the place of a column.
sub changed_rows
{
    my ($round, $rows, $column, $expression) = @_;
    my %columns = (type => 'type', stream_id => 'stream_id', data => 'data', metadata => 'metadata', occurred_at => 'occurred_at');
    $columns{$column} = $expression;
    return $round->dbh->selectcol_arrayref(qq{
        SELECT format('(%L, %L, %L, %L, %L)', type, $columns{stream_id}, $columns{data}, $columns{metadata}, $columns{occurred_at})
        FROM (VALUES (0, NULL::text, NULL::text, NULL::jsonb, NULL::jsonb, NULL::timestamptz), }
        . join(', ', map { "($_, " . substr($rows->[$_ - 1], 1) } 1 .. @$rows)
        . ') AS v (n, type, stream_id, data, metadata, occurred_at) WHERE n > 0 ORDER BY n');
}

# The other columns, and then members of the data, in all events at once.
sub smaller_rows
{
    my ($round, $rows, $spec, $give_up) = @_;
    my $members = $round->dbh->selectcol_arrayref(q{SELECT DISTINCT quote_literal(name) FROM (VALUES }
        . join(', ', @$rows) . q{) AS v (t, s, data), jsonb_object_keys(CASE jsonb_typeof(data::jsonb) WHEN 'object' THEN data::jsonb END) AS name ORDER BY 1});
    foreach my $change ((map { [$_, 'NULL'] } qw(occurred_at metadata stream_id)),
        map { [data => "CASE jsonb_typeof(data) WHEN 'object' THEN data - $_ ELSE data END"] } @$members)
    {
        last if time >= $give_up;
        my $smaller = changed_rows($round, $rows, @$change);
        $rows = $smaller if differs($round, $smaller, $spec);
    }
    return @$rows;
}

# (spec, rows, difference), within so many seconds.
sub shrink
{
    my ($round, $query, $seconds) = @_;
    my @rows = @{ $round->{rows} };
    my $spec = $query->{spec};
    my $give_up = time + $seconds;
    return ($spec, \@rows, $query->{difference}) if !differs($round, \@rows, $spec);
    @rows = fewer_rows($round, \@rows, $spec, $give_up);
    $spec = smaller_spec($round, \@rows, $spec, $give_up);
    @rows = fewer_rows($round, \@rows, $spec, $give_up);
    @rows = smaller_rows($round, \@rows, $spec, $give_up);
    my $still = differs($round, \@rows, $spec);
    return ($spec, \@rows, $still ? $still->{difference} : $query->{difference});
}

1;
