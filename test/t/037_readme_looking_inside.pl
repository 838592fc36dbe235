# The README's chapters on testing an updater and on looking inside: their SQL runs as it stands and shows what stands below it.
#
# The pgTAP example runs with pgTAP where the server has it, and otherwise with the few functions of it that are written here.
# Seen to fail with another amount in each example.
use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

open(my $readme, '<:encoding(UTF-8)', '../README.md') or BAIL_OUT("cannot read README.md: $!");
my $text = do { local $/; <$readme> };
close($readme);
my $node = new_server('inside');

sub trimmed { my ($shown) = @_; return $shown =~ s/[ \t]+$//mgr =~ s/\A\n+|\n+\z//gr }

# Blocks of SQL, each with what is shown after it: tables and, apart, messages.
foreach my $name (qw(fold inside))
{
    my ($part) = $text =~ /^<!-- $name: begin -->\n(.*?)^<!-- $name: end -->$/ms or BAIL_OUT("the README has no part $name");
    my (@blocks, $input);
    foreach my $block ($part =~ /^(```(?:sql|text)\n.*?)^```$/msg)
    {
        my ($kind, $content) = $block =~ /^```(\w+)\n(.*)\z/s;
        if ($kind eq 'sql')
        {
            push @blocks, { table => '', messages => '' };
            $input .= "$content\\echo ----\n\\warn ----\n";
        }
        else
        {
            $blocks[-1]->{ $content =~ /^(NOTICE|ERROR)/ ? 'messages' : 'table' } = $content;
        }
    }
    $node->safe_psql('postgres', "CREATE DATABASE $name");
    my ($out, $err) = ('', '');
    IPC::Run::run([ $node->installed_command('psql'), '-X', '-d', $node->connstr($name) ], '<', \$input, '>', \$out, '2>', \$err);
    my @tables = split /^----$/m, $out;
    my @messages = split /^----$/m, $err =~ s/^psql:<stdin>:\d+: //mgr;
    foreach my $i (0 .. $#blocks)
    {
        my $block = $blocks[$i];
        is(trimmed($messages[$i] // ''), trimmed($block->{messages}), "$name, block $i: its messages");
        like(trimmed($tables[$i]), qr/\Q@{[ trimmed($block->{table}) ]}\E\z/, "$name, block $i: its result") if $block->{table};
    }
    cmp_ok(scalar @blocks, '>=', 2, "$name has its blocks");
}

my ($tap) = $text =~ /^<!-- pgtap: begin -->\n\n```sql\n(.*?)^```$/ms or BAIL_OUT('the README has no pgTAP example');
if ($node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pgtap'}))
{
    $node->safe_psql('fold', 'CREATE EXTENSION pgtap');
}
else
{
    $node->safe_psql('fold', q{
        CREATE FUNCTION plan(n int) RETURNS text LANGUAGE sql AS $$ SELECT '1..' || n $$;
        CREATE FUNCTION is(got anyelement, expected anyelement, what text) RETURNS text LANGUAGE sql AS
            $$ SELECT CASE WHEN got IS NOT DISTINCT FROM expected THEN '' ELSE 'not ' END || 'ok 1 - ' || what $$;
        CREATE FUNCTION throws_ok(run text, code text, message text, what text) RETURNS text LANGUAGE plpgsql AS $$
        BEGIN
            EXECUTE run;
            RETURN 'not ok 2 - ' || what;
        EXCEPTION WHEN OTHERS THEN
            RETURN CASE WHEN SQLSTATE = code AND SQLERRM = message THEN '' ELSE 'not ' END || 'ok 2 - ' || what;
        END $$;
        CREATE FUNCTION finish() RETURNS SETOF text LANGUAGE sql AS $$ SELECT NULL::text WHERE false $$});
}
my ($out, $err) = ('', '');
IPC::Run::run([ $node->installed_command('psql'), '-XqAt', '-d', $node->connstr('fold') ], '<', \$tap, '>', \$out, '2>', \$err);
is($err, '', 'the pgTAP example is accepted as it stands');
is($out, "1..2\nok 1 - what is withdrawn is taken off\nok 2 - what is not there cannot be withdrawn\n", 'and passes');
$node->stop;
done_testing;
