# The README's chapter "Changing a query": every statement works as it stands, from top to bottom, on the tutorial's shop.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $readme = slurp_file('../README.md');
my ($chapter) = $readme =~ /^<!-- changing: begin -->$(.*?)^<!-- changing: end -->$/ms or BAIL_OUT('the README has no such chapter');
my ($tutorial) = $readme =~ /^<!-- tutorial: begin -->$(.*?)^<!-- tutorial: end -->$/ms or BAIL_OUT('the README has no tutorial');
my @blocks = $chapter =~ /^```sql\n(.*?)^```$/msg;
cmp_ok(scalar @blocks, '>=', 8, 'the chapter has statements');
my ($function) = $tutorial =~ /^(CREATE FUNCTION shop\.customer\(.*?^END \$\$;)$/ms or BAIL_OUT('the tutorial has no updater');

my $node = new_server('changing');
(my $other = $function) =~ s/shop\.customer\(/shop.customer_v2(/;
$node->safe_psql('postgres', qq{
    CREATE EXTENSION pg_readmodel;
    CREATE SCHEMA shop;
    SELECT readmodel.create_event_table('shop.events');
    SELECT readmodel.create_source('shop', 'shop.events');
    $function $other
    SELECT readmodel.append('shop.events', 'order-1', '[{"type": "OrderPlaced", "data": {"customer": "ada", "amount": 40.00}}]');
    SELECT readmodel.define_query('customers', 'shop', 'shop.customer(jsonb, jsonb)', key => \$\$data ->> 'customer'\$\$)});

my $ready = q{status = 'ready' AND generation = serving_generation FROM readmodel.status()};
my $said = '';
foreach my $block (@blocks)
{
    wait_until($node, 'postgres', $ready, 'nothing is being built');
    my ($status, $answer, $errors) = $node->psql('postgres', $block, on_error_stop => 1);
    is($status, 0, 'works: ' . (split /\n/, $block)[0]) or diag($errors);
    unlike($errors, qr/ERROR/, 'without an error');
    $said .= $errors;
}
wait_until($node, 'postgres', $ready, 'nothing is being built at the end');
like($said, qr/generation 1 of query "customers" is active.*generation 2 of query "customers" is active/s, 'both were active');
like($said, qr/waits for an operator's decision.*is built now/s, 'the gate was asked');
is($node->safe_psql('postgres', q{SELECT current_setting('readmodel.on_change')}), 'gate', 'and is the default now');
is($node->safe_psql('postgres', q{SELECT state FROM readmodel.customers}), '{"total": 40.00, "orders": 1, "shipped": 0}', 'the states are right');

$node->stop;
done_testing();
