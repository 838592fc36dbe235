# A standby answers reads with a status of its own, from the replicated rows alone: ready with nothing unread, rebuilding with an event
# that is not applied yet, stale where a paused query may be read. What is counted in the primary's memory is not known there.
#
# Seen to fail when: server_facts() takes the standby for a primary; is_held_still() says no of a paused query.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $primary = new_server('primary', 'wal_level = replica', 'max_wal_senders = 4');
make_shop($primary, 'postgres');
append_orders($primary, 'postgres', 100);
define_orders($primary, 'postgres');
wait_ready($primary, 'postgres', 'the query is ready on the primary');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

sub replayed
{
    my ($what) = @_;
    $primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
    return;
}

my $read = q{SELECT status, generation, position, state ->> 'orders' AS orders, state_position FROM readmodel.read_state('orders', 'customer 3')};
my $report = q{SELECT status, served, lag FROM readmodel.readiness_report('{orders}')};

replayed();
is($standby->safe_psql('postgres', $read), 'ready|1|100|5|83', 'a state, on the standby');
is($standby->safe_psql('postgres', $read), $primary->safe_psql('postgres', $read), 'as on the primary');
is($standby->safe_psql('postgres', $report), 'ready|ready|0', 'the report says so too');
is($standby->safe_psql('postgres', q{SELECT status, reason FROM readmodel.read_state('nowhere', 'a')}), 'unknown|query', 'an unknown query');
my $pages = q{SELECT string_agg(id, ' ') FROM readmodel.read_states('orders', 'customer 7')};
is($standby->safe_psql('postgres', $pages), 'customer 8 customer 9', 'a page');
is($standby->safe_psql('postgres', q{SELECT failures, batches, events_applied, events_replayed FROM readmodel.query_counters()}),
    '||100|100', 'what nobody counts there is not known');

# Nobody applies an event that the standby has.
$primary->safe_psql('postgres', 'ALTER SYSTEM SET readmodel.enabled = off');
$primary->reload;
no_tail($primary, 'postgres', 'the tail worker is gone');
append_orders($primary, 'postgres', 5);
replayed();
is($standby->safe_psql('postgres', $read), 'rebuilding|1|100||', 'an event is not applied yet');
is($standby->safe_psql('postgres', $report), 'rebuilding||5', 'the report says so too');
$primary->safe_psql('postgres', 'ALTER SYSTEM RESET readmodel.enabled');
$primary->reload;
wait_ready($primary, 'postgres', 'the primary goes on');
ok($standby->poll_query_until('postgres', $read, 'ready|1|105|6|103'), 'and so does the standby')
  or diag($standby->safe_psql('postgres', $read));

# Paused, and what may be read then.
$primary->safe_psql('postgres', q{SELECT readmodel.pause('orders')});
replayed();
is($standby->safe_psql('postgres', $read), 'paused|1|105||', 'a paused query is not read');
$primary->safe_psql('postgres', q{
    SELECT readmodel.define_query('orders', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream',
                                  options => '{"while_rebuilding": "serve_previous"}')});
replayed();
is($standby->safe_psql('postgres', $read), 'stale|1|105|6|103', 'unless it may be');
is($standby->safe_psql('postgres', $report), 'paused|stale|0', 'which the report tells');
is($standby->safe_psql('postgres', q{SELECT readmodel.get('orders', 'customer 3') ->> 'orders'}), '6', 'as get() has it');

$standby->stop;
$primary->stop;
done_testing();
