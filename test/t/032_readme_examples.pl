# The README's examples of declarative updaters. The first is pasted into psql as a whole and shows what stands below it. Of the table
# each row is run: a state is brought about by an event that sets its members, the step is
# applied to the next event, and the state, or the error, must be the one that the table has, byte for byte.
#
# Seen to fail with an operation that forgets its place in the spec, with the instance in the log, and with another amount in the example.
use strict;
use warnings;
use IPC::Run ();
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
seek($readme, 0, 0);
my $text = do { local $/; <$readme> };
close($readme);
cmp_ok(scalar @rows, '>=', 90, 'the table was found') or BAIL_OUT('the README has no such table');

# What psql adds at the ends of lines does not count.
sub trimmed { my ($table) = @_; return $table =~ s/[ \t]+$//mgr =~ s/\n+\z/\n/r }

my $node = new_server('readme');
my ($pasted, $shown) = $text =~ /^<!-- example: begin -->\n\n```sql\n(.*?)^```\n```text\n(.*?)^```\n\n<!-- example: end -->$/ms
  or BAIL_OUT('the README has no such example');
$node->safe_psql('postgres', 'CREATE DATABASE example');
my ($printed, $warned) = ('', '');
IPC::Run::run(['psql', '-X', '-d', $node->connstr('example')], '<', \$pasted, '>', \$printed, '2>', \$warned);
is($warned, '', 'the first example is accepted as it stands');
like(trimmed($printed), qr/^\Q@{[ trimmed($shown) ]}\E\z/m, 'and shows what the README says');

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

my $log = slurp_file($node->logfile);
unlike($log, qr/for instance/, 'the log names no instance');
foreach my $n (0 .. $#rows)
{
    my $row = $rows[$n];
    my $what = "README.md, line $row->{line}: $row->{step}";
    if (defined $row->{error})
    {
        like($node->safe_psql('postgres', qq{SELECT error_sqlstate, error_message FROM readmodel.status() WHERE name = 'row $n'}),
            qr{^\Q22023|$row->{error}\E\nDETAIL:  At /on/Case $n/\S+ of the spec, for instance "one"\.$}, $what);
        like($log, qr{WARNING: .*"row $n" failed at position \d+\n.*DETAIL: .* At /on/Case $n/\S+ of the spec\.\n}, 'and the log has the place');
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
