# The README's table of operations: each of its rows is run. A state is brought about by an event that sets its members, the step is
# applied to the next event, and the state, or the error, must be the one that the table has, byte for byte.
use strict;
use warnings;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

open(my $readme, '<:encoding(UTF-8)', '../README.md') or BAIL_OUT("cannot read README.md: $!");
my (@rows, $in_table);
while (my $line = <$readme>)
{
    $in_table = 1 if $line =~ /^\| step \| state before \| event data \| state after \|/;
    last if $in_table && $line !~ /^\|/;
    next if !$in_table;
    my $cell = qr/(?:`([^`]+)`|\*(none)\*)/;
    next if $line =~ /^\| (step|-)|^\|-/;
    if ($line =~ /^\| `([^`]+)` \| $cell \| `([^`]+)` \| (?:$cell|error: `([^`]+)`) \|$/)
    {
        push @rows, { line => $., step => $1, before => $2, data => $4, after => $5, error => $7 };
    }
    else
    {
        fail("README.md, line $., can be read");
    }
}
close($readme);
cmp_ok(scalar @rows, '>=', 90, 'the table was found') or BAIL_OUT('the README has no such table');

my $node = new_server('readme');
$node->safe_psql('postgres', q{
    CREATE EXTENSION pg_readmodel;
    SELECT readmodel.create_event_table('public.events');
    SELECT readmodel.create_source('events', 'public.events')});

my $json = JSON::PP->new->canonical->allow_nonref;
my $quoted = sub { my ($text) = @_; $text =~ s/'/''/g; return "'$text'" };
my (@define, @append);
foreach my $n (0 .. $#rows)
{
    my $row = $rows[$n];
    my $given = '"delete"';
    if (defined $row->{before})
    {
        # The empty object needs a member for a moment.
        my @names = sort keys %{ $json->decode($row->{before}) };
        my $set = join(', ', '"x_": 1', map { "\"$_\": \"\$.$_\"" } @names);
        $given = "[{\"set\": {$set}}, {\"unset\": \"x_\"}]";
    }
    push @define, sprintf(q{SELECT readmodel.define_query('row %d', 'events', spec => %s);}, $n,
        $quoted->(qq({"key": "one", "on": {"Given $n": $given, "Case $n": $row->{step}}})));
    push @append, sprintf(q{INSERT INTO public.events (type, data) VALUES ('Given %d', %s), ('Case %1$d', %s);}, $n,
        $quoted->($row->{before} // '{}'), $quoted->($row->{data}));
}
my ($result, $out, $error) = $node->psql('postgres', join("\n", 'BEGIN;', @define, 'COMMIT;', @append), on_error_stop => 1);
BAIL_OUT($error) if $result != 0;
wait_until($node, 'postgres', q{
    (SELECT bool_and(status IN ('ready', 'failed') AND (status = 'failed' OR position >= (SELECT max(position) FROM public.events)))
       FROM readmodel.status())}, 'all rows were folded');

foreach my $n (0 .. $#rows)
{
    my $row = $rows[$n];
    my $what = "README.md, line $row->{line}: $row->{step}";
    if (defined $row->{error})
    {
        is($node->safe_psql('postgres', qq{SELECT error_sqlstate, error_message FROM readmodel.status() WHERE name = 'row $n'}),
            "22023|$row->{error}", $what);
    }
    else
    {
        my $after = defined $row->{after} ? $quoted->($row->{after}) . '::jsonb::text' : "'none'";
        is($node->safe_psql('postgres', qq{SELECT coalesce((SELECT state::text FROM readmodel."row $n"), 'none')}),
            $node->safe_psql('postgres', "SELECT $after"), $what);
    }
}
$node->stop;
done_testing();
