# The rules of the language, case by case (cases.sql, more_cases.sql), through the interpreter and through the extension.
package Differential::Cases;

use strict;
use warnings;

# Outcomes in the words of check_cases.sql.
sub by_extension
{
    my ($server) = @_;
    my $dbh = $server->dbh;
    my %outcome;
    # Cases with the same events share an event table.
    my $logs = $dbh->selectcol_arrayref('SELECT DISTINCT events::text FROM spec_cases.cases WHERE invalid_at IS NULL ORDER BY 1');
    foreach my $events (@$logs)
    {
        $dbh->do(q{SELECT readmodel.create_event_table('public.log')});
        $dbh->do(q{SELECT readmodel.create_source('log', 'public.log', metadata => 'metadata', occurred_at => 'occurred_at')});
        $dbh->do(q{
            INSERT INTO public.log (type, stream_id, data, metadata, occurred_at)
            SELECT type, stream_id, data, metadata, occurred_at FROM spec_cases.case_rows($1::jsonb) ORDER BY position}, undef, $events);
        my $cases = $dbh->selectall_arrayref(
            'SELECT name, spec, positions IS NOT NULL FROM spec_cases.cases WHERE invalid_at IS NULL AND events::text = $1 ORDER BY name',
            undef, $events);
        foreach my $case (@$cases)
        {
            my ($name, $spec, $with_positions) = @$case;
            eval {
                $dbh->do(q{SELECT readmodel.define_query('case', 'log', spec => $1::jsonb)}, undef, $spec);
                eval { $dbh->do(q{CALL readmodel.catch_up('case')}); 1 } or $dbh->state eq '38000' or die $@;
                my ($table) = $dbh->selectrow_array(q{SELECT readmodel.state_table('case')});
                ($outcome{$name}) = $dbh->selectrow_array(qq{
                    SELECT spec_cases.told(array_agg((id, state, position)::spec_cases.instance), \$1)
                    FROM (
                        SELECT id, state, position FROM $table
                        UNION ALL
                        SELECT NULL, jsonb_build_object('sqlstate', error_sqlstate), error_position FROM readmodel.status()
                        WHERE error_position IS NOT NULL) AS found}, undef, $with_positions);
                1;
            } or $outcome{$name} = $@ =~ s/^.*?ERROR: +//r =~ s/\n.*//sr;
            $dbh->do(q{SELECT readmodel.drop_query(name) FROM readmodel.status()});
        }
        $dbh->do(q{SELECT readmodel.drop_source('log')});
        $dbh->do('DROP TABLE public.log');
    }
    $dbh->do(q{SELECT readmodel.create_event_table('public.log')});
    $dbh->do(q{SELECT readmodel.create_source('log', 'public.log')});
    foreach my $case (@{ $dbh->selectall_arrayref('SELECT name, spec FROM spec_cases.cases WHERE invalid_at IS NOT NULL ORDER BY name') })
    {
        $outcome{ $case->[0] } = eval { $dbh->do(q{SELECT readmodel.definition_hash('log', spec => $1::jsonb)}, undef, $case->[1]); 1 }
          ? 'accepted'
          : $@ =~ s/^.*?ERROR: +//r =~ s/\n.*//sr;
    }
    $dbh->do(q{SELECT readmodel.drop_source('log')});
    $dbh->do('DROP TABLE public.log');
    return \%outcome;
}

# Returns how many came out otherwise than they should.
sub run
{
    my ($server) = @_;
    my $wrong = 0;
    my $extension = by_extension($server);
    my $cases = $server->dbh->selectall_arrayref(
        q{SELECT c.name, spec, events, spec_cases.wanted(c), spec_cases.by_interpreter(c) FROM spec_cases.cases AS c ORDER BY c.name});
    foreach my $case (@$cases)
    {
        my ($name, $spec, $events, $wanted, $interpreter) = @$case;
        foreach my $engine ([interpreter => $interpreter], [extension => $extension->{$name}])
        {
            my ($who, $found) = @$engine;
            $found //= 'NULL';
            next if $found eq $wanted || $wrong++ >= 20;
            printf "CASE %.200s\n    spec %.500s\n    events %.500s\n    wanted %.300s\n    %s %.300s\n", $name, $spec, $events, $wanted, $who, $found;
        }
    }
    print scalar @$cases, " cases, $wrong outcomes wrong\n";
    return $wrong;
}

1;
