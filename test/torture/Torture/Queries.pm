# The queries: for each what define_query is given, and what its states must be, as an aggregate in plain SQL that shares nothing
# with the updater. A definition names itself in the option "version", so that every generation tells what it was built by.
#
#   sum      SQL, text key or another: count, total and last position of a stream; each code is a function of its own
#   list     PL/pgSQL, bigint key: all positions since the account was opened anew; Closed deletes
#   fan      SQL, array key (text or bigint): counted in every instance that the event names
#   recent   PL/pgSQL, one instance: the last ten positions; its function is replaced in place by each new code
#   picky    PL/pgSQL, on_error = skip: all positions since Closed, without the events that it refuses, by their "defect"; one key
#            cannot take one kind of defect either
#   strict   PL/pgSQL, on_error = fail: counts, and refuses some Traps
#
# The functions of picky and strict are replaced under their queries, without a word to the extension. What a generation was built by
# is then known from its definition hash, which whoever replaces the function has had computed beforehand: torture.bodies.
package Torture::Queries;

use strict;
use warnings;
use Torture::Tables;

our @templates = qw(sum list fan recent picky strict);

# The keys that a template can have: [for define_query, the members for the oracle as an SQL array, type].
my %keys = (
    sum => {
        A => [ 'stream', 'ARRAY[e.stream]' ],
        B => [ q{left(stream, 2)}, 'ARRAY[substring(e.stream for 2)]' ],
        C => [ q{(data ->> 'account')::bigint}, q{ARRAY[(e.data ->> 'account')::bigint]} ],
    },
    list => {
        A => [ q{CASE WHEN type NOT IN ('Noise', 'Trap') THEN (data ->> 'account')::bigint END}, q{ARRAY[(e.data ->> 'account')::bigint]} ],
        B => [
            q{CASE WHEN type NOT IN ('Noise', 'Trap') THEN (data ->> 'account')::bigint / 2 END},
            q{ARRAY[(e.data ->> 'account')::bigint / 2]}
        ],
    },
    fan => {
        A => [ q{ARRAY[data ->> 'from', data ->> 'to', NULL]}, q{ARRAY[e.data ->> 'from', e.data ->> 'to']} ],
        B => [
            q{ARRAY[(data ->> 'account')::bigint, (data ->> 'amount')::bigint]},
            q{ARRAY[(e.data ->> 'account')::bigint, (e.data ->> 'amount')::bigint]}
        ],
    },
    recent => { A => [ q{'all'}, q{ARRAY['all'::text]} ] },
    picky => {
        A => [ 'stream', 'ARRAY[e.stream]' ],
        B => [
            q{(data ->> 'account')::bigint / CASE WHEN data ->> 'defect' = '4' THEN 0 ELSE 1 END},
            q{ARRAY[(e.data ->> 'account')::bigint]}
        ],
        C => [ q{ARRAY[data ->> 'from', data ->> 'to']}, q{ARRAY[e.data ->> 'from', e.data ->> 'to']} ],
    },
    strict => {
        A => [ 'stream', 'ARRAY[e.stream]' ],
        B => [ q{(data ->> 'account')::bigint}, q{ARRAY[(e.data ->> 'account')::bigint]} ],
    },
);

my %types = (
    sum => [qw(Opened Moved Closed)],
    list => undef,    # the key leaves the others out
    fan => [qw(Moved)],
    recent => [qw(Opened Closed)],
    picky => [qw(Opened Moved Closed)],
    strict => [qw(Moved Trap)],
);

# Options that a template always has.
my %options = (
    picky => { on_error => 'skip', max_dead_letters => 1_000_000 },
    strict => { on_error => 'fail' },
);

# Codes from here on take every Trap.
our $tolerant = 1_000_000;

# Which events an updater (or a key) of this definition refuses, for the oracle, by the defect that they have; 'false': none.
my %refused = (
    picky => sub {
        my ($definition, $defect) = @_;
        my $key = $definition->{key} eq 'B' ? "$defect = 4 OR " : '';
        return "($key$defect > 0 AND ($defect + $definition->{code}) % 4 <> 0)";
    },
    strict => sub {
        my ($definition) = @_;
        my $amount = q{((e.data ->> 'amount')::bigint + 50)};
        return "(e.type = 'Trap' AND ($amount % 2 = 1 OR ($definition->{code} < $tolerant AND ($amount / 2 + $definition->{code}) % 3 = 0)))";
    },
);

sub replaced_in_place { my ($template) = @_; return $template eq 'picky' || $template eq 'strict' }

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
    strict => sub {
        my ($code) = @_;
        return qq{SELECT id, jsonb_build_object('code', $code, 'count', count(*), 'traps', count(*) FILTER (WHERE type = 'Trap'),
            'total', sum((data ->> 'amount')::bigint)::bigint) AS state, max(position) AS position FROM keyed GROUP BY id};
    },
);

$expected{picky} = $expected{list};

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

# "sum/A/1" and so on; where the function is replaced, the code is not known to whoever defines it.
sub version_of
{
    my ($definition) = @_;
    return join('/', @$definition{qw(template key)}, replaced_in_place($definition->{template}) ? '-' : $definition->{code});
}

sub parse_version
{
    my ($version) = @_;
    my ($template, $key, $code) = split(m{/}, $version);
    return { template => $template, key => $key, code => $code };
}

# The updater of a definition, as SQL to create it and as a signature. Some are replaced.
sub updater_of
{
    my ($definition, $kind) = @_;
    my ($template, $code) = @$definition{qw(template code)};
    my $name = $template eq 'recent' || replaced_in_place($template) ? "torture.\"$template $kind\"" : "torture.${template}_$code";
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
        picky => qq{LANGUAGE plpgsql AS \$\$
            DECLARE
                defect integer := (event #>> '{data,defect}')::integer;
            BEGIN
                IF defect > 0 AND (defect + $code) % 4 <> 0 THEN
                    RAISE EXCEPTION 'defect %', defect USING ERRCODE = 'ZZ001';
                ELSIF event ->> 'type' = 'Closed' THEN
                    RETURN NULL;
                END IF;
                RETURN jsonb_build_object('code', $code,
                    'positions', coalesce(state -> 'positions', '[]'::jsonb) || (event -> 'position'));
            END \$\$},
        strict => qq{LANGUAGE plpgsql AS \$\$
            DECLARE
                amount bigint := (event #>> '{data,amount}')::bigint + 50;
                trap integer := (event ->> 'type' = 'Trap')::integer;
            BEGIN
                IF trap = 1 AND (amount % 2 = 1 OR $code < $tolerant AND (amount / 2 + $code) % 3 = 0) THEN
                    RAISE EXCEPTION 'a trap with %', amount USING ERRCODE = 'ZZ002';
                END IF;
                RETURN jsonb_build_object('code', $code, 'count', coalesce((state ->> 'count')::bigint, 0) + 1,
                    'traps', coalesce((state ->> 'traps')::bigint, 0) + trap,
                    'total', coalesce((state ->> 'total')::bigint, 0) + amount - 50);
            END \$\$},
    );
    return ("$head $body{$template}", "$name(jsonb, jsonb)");
}

# The arguments of define_query() after the name.
sub arguments
{
    my ($kind, $definition, $options) = @_;
    my ($template, $key) = @$definition{qw(template key)};
    my (undef, $signature) = updater_of($definition, $kind);
    my $types = $types{$template};
    return ($kind, $signature, $keys{$template}{$key}[0], $types ? '{' . join(',', @$types) . '}' : undef,
        JSON::PP->new->canonical->encode({ %{ $options // {} }, %{ $options{$template} // {} }, version => version_of($definition) }));
}

# CREATE OR REPLACE knows no concurrency.
sub lock_functions { my ($dbh) = @_; $dbh->do("SELECT pg_advisory_xact_lock(hashtext('definitions'))"); return }

# Creates or replaces the function of a template that is replaced in place, and notes which hashes are those of this body.
sub write_body
{
    my ($dbh, $kind, $definition) = @_;
    my ($template, $code) = @$definition{qw(template code)};
    $dbh->do((updater_of($definition, $kind))[0]);
    foreach my $key (keys_of($template))
    {
        $dbh->do('INSERT INTO torture.bodies (hash, code) SELECT readmodel.definition_hash(?, ?, ?, ?, options => ?), ? ON CONFLICT DO NOTHING',
            undef, arguments($kind, { %$definition, key => $key }), $code);
    }
    $dbh->do('INSERT INTO torture.current VALUES (?, ?) ON CONFLICT (query) DO UPDATE SET code = EXCLUDED.code',
        undef, name_of($template, $kind), $code);
    return;
}

# Replaces the body under its queries, which are to notice by themselves.
sub replace_body
{
    my ($dbh, $kind, $definition) = @_;
    $dbh->do('BEGIN');
    lock_functions($dbh);
    write_body($dbh, $kind, $definition);
    $dbh->do('COMMIT');
    return;
}

# Defines a query; the updater of "recent" is replaced in the same transaction.
sub define
{
    my ($dbh, $query, $kind, $definition, $options) = @_;
    my ($create, $signature) = updater_of($definition, $kind);
    my $template = $definition->{template};
    $dbh->do('BEGIN');
    lock_functions($dbh);
    if ($template eq 'recent' || !$dbh->selectrow_array('SELECT to_regprocedure(?)', undef, $signature))
    {
        replaced_in_place($template) ? write_body($dbh, $kind, $definition) : $dbh->do($create);
    }
    my $generation = $dbh->selectrow_array('SELECT readmodel.define_query(?, ?, ?, ?, ?, options => ?)', undef, $query,
        arguments($kind, $definition, $options));
    $dbh->do('COMMIT');
    return $generation;
}

# The events that concern a generation, with their instances, as a table expression `e`.
sub concerned
{
    my ($generation) = @_;
    my ($kind, $definition) = @$generation{qw(kind definition)};
    my $members = $keys{ $definition->{template} }{ $definition->{key} }[1];
    my $types = join(', ', map { "'$_'" } @{ $types{ $definition->{template} } // [qw(Opened Moved Closed)] });
    return qq{(SELECT member.id, e.* FROM oracle.$kind e,
        LATERAL (SELECT DISTINCT unnest AS id FROM unnest($members) WHERE unnest IS NOT NULL) member WHERE e.type IN ($types)) e};
}

# Whether the generation must have refused the event `e` as it is now, or may have before it was corrected.
sub refused
{
    my ($generation, $before) = @_;
    my $definition = $generation->{definition};
    my $rule = $refused{ $definition->{template} } or return 'false';
    return $rule->($definition, $before ? q{coalesce(e.data ->> 'first', e.data ->> 'defect')::integer} : q{(e.data ->> 'defect')::integer});
}

# What a generation applies, one row for each instance, as a WITH query named keyed: the events that concern it but its dead letters.
# $1 stands for the position up to which.
sub keyed
{
    my ($generation) = @_;
    my $events = concerned($generation);
    return qq{keyed AS MATERIALIZED (SELECT e.* FROM $events WHERE e.position <= \$1 AND NOT EXISTS (
        SELECT FROM readmodel_catalog.dead_letter l WHERE l.generation_id = $generation->{generation_id} AND l.position = e.position))};
}

# The states that a generation must have, as a WITH query named expected.
sub expected
{
    my ($generation) = @_;
    my $definition = $generation->{definition};
    return keyed($generation) . ', expected AS MATERIALIZED (' . $expected{ $definition->{template} }->($definition->{code}) . ')';
}

1;
