# Whatever writes events wakes the tail worker when it commits: with polling as good as off, each still arrives.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('wakeup', 'readmodel.poll_interval = 1h');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 20);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');

my $row = q{('customer 1', 'OrderPlaced', '{"amount": 1}')};
my $columns = 'public.events (stream_id, type, data)';
my %writers = (
    'INSERT' => "INSERT INTO $columns VALUES $row",
    'INSERT in a WITH' => "WITH new AS (INSERT INTO $columns VALUES $row RETURNING position) SELECT count(*) FROM new",
    'INSERT in a function' => "DO \$\$ BEGIN INSERT INTO $columns VALUES $row; END \$\$",
    'INSERT after a savepoint that was rolled back' =>
      "BEGIN; SAVEPOINT a; INSERT INTO $columns VALUES $row; ROLLBACK TO a; INSERT INTO $columns VALUES $row; COMMIT",
    'MERGE' => "MERGE INTO public.events e USING (SELECT 1) s ON false
        WHEN NOT MATCHED THEN INSERT (stream_id, type, data) VALUES $row",
    'COPY' => "COPY $columns FROM PROGRAM 'printf ''customer 1\\tOrderPlaced\\t{\"amount\": 1}\\n'''",
    'append' => q{SELECT readmodel.append('public.events', 'customer 1', '[{"type": "OrderPlaced", "data": {"amount": 1}}]')},
    'COMMIT PREPARED' => "BEGIN; INSERT INTO $columns VALUES $row; PREPARE TRANSACTION 'order'; COMMIT PREPARED 'order'",
);
foreach my $writer (sort keys %writers)
{
    # Separate statements, as a session sends them.
    $node->safe_psql('postgres', "$_") for $writer eq 'COMMIT PREPARED' ? split(/(?<='order'); /, $writers{$writer}) : $writers{$writer};
    states_equal_oracle($node, 'postgres', "$writer wakes the worker");
}

# The rollback of a transaction that had drawn an earlier position ends a wait, too.
my $holder = $node->background_psql('postgres', on_error_die => 1);
$holder->query_safe("BEGIN; INSERT INTO $columns VALUES $row");
$node->safe_psql('postgres', "INSERT INTO $columns VALUES $row");
$holder->query_safe('ROLLBACK');
$holder->quit;
states_equal_oracle($node, 'postgres', 'ROLLBACK of an earlier position wakes the worker');

$node->stop;
done_testing();
