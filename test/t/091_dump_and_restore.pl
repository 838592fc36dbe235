# A dump that is restored into another database is taken up without a replay, and followed from there.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('restore');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 500);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');
states_equal_oracle($node, 'postgres', 'its states are the oracle\'s');

# Queries that leave rows in the catalog's other tables.
$node->safe_psql('postgres', q{
    CREATE FUNCTION refusing(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
    BEGIN
        IF (event->>'position')::bigint % 100 = 0 THEN RAISE EXCEPTION 'refused'; END IF;
        RETURN to_jsonb(coalesce(state::bigint, 0) + 1);
    END $$;
    SELECT readmodel.define_query('failing', 'shop', 'refusing(jsonb, jsonb)', key => 'type');
    SELECT readmodel.define_query('skipping', 'shop', 'refusing(jsonb, jsonb)', key => 'type', options => '{"on_error": "skip"}');
});
$node->poll_query_until('postgres', q{SELECT readmodel.readiness('skipping') = 'ready'}) or die 'not ready';
$node->poll_query_until('postgres', q{SELECT readmodel.readiness('failing') = 'failed'}) or die 'no failure';
my $catalog = q{SELECT (SELECT json_agg(f) FROM (SELECT * FROM readmodel_catalog.failure ORDER BY generation_id) f),
                       (SELECT json_agg(d) FROM (SELECT * FROM readmodel_catalog.dead_letter ORDER BY generation_id, position) d)};
my $noted = $node->safe_psql('postgres', $catalog);

my $written = q{SELECT max(updated_at) FROM readmodel.orders};
my $before = $node->safe_psql('postgres', $written);

# COPY and INSERT reach the catalog in different ways; both find the tail worker at work, since the extension comes first. The jobs
# of a parallel restore load the catalog's tables in any order, so there is no foreign key between them.
# "late" makes the worst of these orders certain: the catalog after everything else, its sources first and the rest from the leaves up.
my %options = (copy => [], inserts => ['--inserts'], parallel => [ '--format', 'custom' ], late => [ '--format', 'custom' ]);

sub late_catalog
{
    my ($file) = @_;
    my ($out, $err) = run_command([ 'pg_restore', '--list', $file ]);
    my (@others, @catalog);
    push @{ $_ =~ /TABLE DATA readmodel_catalog/ ? \@catalog : \@others }, $_ foreach split /\n/, $out;
    my @sources = grep { /TABLE DATA readmodel_catalog source/ } @catalog;
    my @rest = reverse grep { !/TABLE DATA readmodel_catalog source/ } @catalog;
    append_to_file("$file.list", join("\n", @others, @sources, @rest, ''));
    return ('--use-list', "$file.list");
}

foreach my $way (sort keys %options)
{
    my $file = "$PostgreSQL::Test::Utils::tmp_check/$way.sql";
    $node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $file, @{ $options{$way} } ],
        "$way: the database is dumped");
    $node->safe_psql('postgres', "CREATE DATABASE $way");
    my %order = (parallel => sub { ('--jobs', '4') }, late => sub { late_catalog($file) });
    my @restore = $order{$way} ? ('pg_restore', '--exit-on-error', '-d', $node->connstr($way), $order{$way}->(), $file)
        : ('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($way), '-f', $file);
    $node->command_ok(\@restore, "$way: it is restored");
    wait_ready($node, $way, "$way: the query is ready again");
    is($node->safe_psql($way, $catalog), $noted, "$way: failures and dead letters are as they were");
    is($node->safe_psql($way, q{SELECT readmodel.readiness('failing')}), 'failed', "$way: what has failed stays failed");
    is($node->safe_psql($way, $written), $before, "$way: no state was written anew");
    applied_once($node, $way, "$way: no event was applied again");
    append_orders($node, $way, 50);
    states_equal_oracle($node, $way, "$way: new events are applied");
    applied_once($node, $way, "$way: once");
}

$node->stop;
done_testing();
