# The queries: for each what define_query is given, and what its states must be, as an aggregate in plain SQL that shares nothing
# with the updater. A definition names itself in the option "version", so that every generation tells what it was built by.
#
#   sum      SQL, text key or another: count, total and last position of a stream; each code is a function of its own
#   list     PL/pgSQL, bigint key: all positions since the account was opened anew; Closed deletes
#   fan      SQL, array key (text or bigint): counted in every instance that the event names
#   recent   PL/pgSQL, one instance: the last ten positions; its function is replaced in place by each new code
package Torture::Queries;

use strict;
use warnings;
use Torture::Tables;

our @templates = qw(sum list fan recent);

# The keys that a template can have: [for define_query, the members for the oracle as an SQL array, type].
my %keys = (
    sum => {
        A => [ 'stream', 'ARRAY[e.stream]' ],
        B => [ q{left(stream, 2)}, 'ARRAY[substring(e.stream for 2)]' ],
        C => [ q{(data ->> 'account')::bigint}, q{ARRAY[(e.data ->> 'account')::bigint]} ],
    },
    list => {
        A => [ q{CASE WHEN type <> 'Noise' THEN (data ->> 'account')::bigint END}, q{ARRAY[(e.data ->> 'account')::bigint]} ],
        B => [ q{CASE WHEN type <> 'Noise' THEN (data ->> 'account')::bigint / 2 END}, q{ARRAY[(e.data ->> 'account')::bigint / 2]} ],
    },
    fan => {
        A => [ q{ARRAY[data ->> 'from', data ->> 'to', NULL]}, q{ARRAY[e.data ->> 'from', e.data ->> 'to']} ],
        B => [
            q{ARRAY[(data ->> 'account')::bigint, (data ->> 'amount')::bigint]},
            q{ARRAY[(e.data ->> 'account')::bigint, (e.data ->> 'amount')::bigint]}
        ],
    },
    recent => { A => [ q{'all'}, q{ARRAY['all'::text]} ] },
);

my %types = (
    sum => [qw(Opened Moved Closed)],
    list => undef,    # the key leaves Noise out
    fan => [qw(Moved)],
    recent => [qw(Opened Closed)],
);

my %expected = (
    sum => sub {
        my ($code) = @_;
        return qq{SELECT id, jsonb_build_object('code', $code, 'count', count(*), 'last', max(position),
            'total', sum((data ->> 'amount')::bigint)::bigint) AS state, max(position) AS position FROM keyed GROUP BY id};
    },
    list => sub {
        my ($code) = @_;
        return qq{SELECT id, jsonb_build_object('code', $code, 'positions', jsonb_agg(position ORDER BY position)) AS state,
                max(position) AS position
            FROM (SELECT *, max(position) FILTER (WHERE type = 'Closed') OVER (PARTITION BY id) AS closed FROM keyed) since
            WHERE closed IS NULL OR position > closed GROUP BY id};
    },
    fan => sub {
        my ($code) = @_;
        return qq{SELECT id, jsonb_build_object('code', $code, 'moves', count(*), 'total', sum((data ->> 'amount')::bigint)::bigint,
            'first', min(position)) AS state, max(position) AS position FROM keyed GROUP BY id};
    },
    recent => sub {
        my ($code) = @_;
        return qq{SELECT id, jsonb_build_object('code', $code, 'count', max(n), 'positions',
                jsonb_agg(position ORDER BY position) FILTER (WHERE back <= 10)) AS state, max(position) AS position
            FROM (SELECT id, position, row_number() OVER (PARTITION BY id ORDER BY position DESC) AS back,
                    count(*) OVER (PARTITION BY id) AS n FROM keyed) numbered GROUP BY id};
    },
);

sub keys_of
{
    my ($template) = @_;
    return sort keys %{ $keys{$template} };
}

sub name_of
{
    my ($template, $kind) = @_;
    return "$template $kind";
}

# "sum/A/1" and so on.
sub version_of
{
    my ($definition) = @_;
    return join('/', @$definition{qw(template key code)});
}

sub parse_version
{
    my ($version) = @_;
    my ($template, $key, $code) = split(m{/}, $version);
    return { template => $template, key => $key, code => $code };
}

# The updater of a definition, as SQL to create it and as a signature. Only that of "recent" is ever replaced.
sub updater_of
{
    my ($definition, $kind) = @_;
    my ($template, $code) = @$definition{qw(template code)};
    my $name = $template eq 'recent' ? "torture.\"recent $kind\"" : "torture.${template}_$code";
    my $head = "CREATE OR REPLACE FUNCTION $name(state jsonb, event jsonb) RETURNS jsonb IMMUTABLE";
    my %body = (
        sum => qq{LANGUAGE sql RETURN jsonb_build_object('code', $code, 'count', coalesce((state ->> 'count')::bigint, 0) + 1,
            'last', event -> 'position',
            'total', coalesce((state ->> 'total')::bigint, 0) + (event #>> '{data,amount}')::bigint)},
        list => qq{LANGUAGE plpgsql AS \$\$
            BEGIN
                IF event ->> 'type' = 'Closed' THEN
                    RETURN NULL;
                END IF;
                RETURN jsonb_build_object('code', $code,
                    'positions', coalesce(state -> 'positions', '[]'::jsonb) || (event -> 'position'));
            END \$\$},
        fan => qq{LANGUAGE sql AS \$\$ SELECT jsonb_build_object('code', $code,
            'moves', coalesce((state ->> 'moves')::bigint, 0) + 1,
            'total', coalesce((state ->> 'total')::bigint, 0) + (event #>> '{data,amount}')::bigint,
            'first', coalesce(state -> 'first', event -> 'position')) \$\$},
        recent => qq{LANGUAGE plpgsql AS \$\$
            DECLARE
                positions jsonb := coalesce(state -> 'positions', '[]'::jsonb) || (event -> 'position');
            BEGIN
                IF jsonb_array_length(positions) > 10 THEN
                    positions := positions - 0;
                END IF;
                RETURN jsonb_build_object('code', $code, 'count', coalesce((state ->> 'count')::bigint, 0) + 1,
                    'positions', positions);
            END \$\$},
    );
    return ("$head $body{$template}", "$name(jsonb, jsonb)");
}

# Defines a query; an updater that is replaced is so in the same transaction.
sub define
{
    my ($dbh, $query, $kind, $definition, $options) = @_;
    my ($create, $signature) = updater_of($definition, $kind);
    my $types = $types{ $definition->{template} };
    $dbh->do('BEGIN');
    $dbh->do("SELECT pg_advisory_xact_lock(hashtext('definitions'))");    # CREATE OR REPLACE knows no concurrency
    $dbh->do($create) if $definition->{template} eq 'recent' || !$dbh->selectrow_array('SELECT to_regprocedure(?)', undef, $signature);
    my $generation = $dbh->selectrow_array('SELECT readmodel.define_query(?, ?, ?, ?, ?, options => ?)', undef, $query, $kind, $signature,
        $keys{ $definition->{template} }{ $definition->{key} }[0], $types ? '{' . join(',', @$types) . '}' : undef,
        JSON::PP->new->canonical->encode({ %{ $options // {} }, version => version_of($definition) }));
    $dbh->do('COMMIT');
    return $generation;
}

# The events that concern a query, one row for each instance, as a WITH query named keyed. $2 stands for the position up to which.
sub keyed
{
    my ($kind, $definition) = @_;
    my $members = $keys{ $definition->{template} }{ $definition->{key} }[1];
    my $types = join(', ', map { "'$_'" } @{ $types{ $definition->{template} } // [qw(Opened Moved Closed)] });
    return qq{keyed AS MATERIALIZED (SELECT member.id, e.* FROM oracle.$kind e,
        LATERAL (SELECT DISTINCT unnest AS id FROM unnest($members) WHERE unnest IS NOT NULL) member
        WHERE e.type IN ($types) AND e.position <= \$1)};
}

# The states that a query must have, as a WITH query named expected.
sub expected
{
    my ($kind, $definition) = @_;
    return keyed($kind, $definition) . ', expected AS MATERIALIZED (' . $expected{ $definition->{template} }->($definition->{code}) . ')';
}

1;
