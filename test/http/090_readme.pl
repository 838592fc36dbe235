# The README's chapter on HTTP: its SQL and its curl commands, as they stand, have the results that it shows.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use HttpService;
use ReadModelCluster;

open(my $readme, '<:encoding(UTF-8)', '../README.md') or BAIL_OUT("cannot read README.md: $!");
my $text = do { local $/; <$readme> };
close($readme);
my ($role) = $text =~ /^<!-- http: role -->\n\n```sql\n(.*?)^```$/ms or BAIL_OUT('the README has no role for the service');
my ($tutorial) = $text =~ /^<!-- tutorial: begin -->$(.*?)^SELECT id, state, position FROM readmodel.customers/ms
    or BAIL_OUT('the README has no query "customers"');
my ($examples) = $text =~ /^<!-- http: begin -->$(.*?)^<!-- http: end -->$/ms or BAIL_OUT('the README has no examples');

my $node = new_server('readme');
my $made = 0;
$made += defined $node->safe_psql('postgres', $1) while $tutorial =~ /^```sql\n(.*?)^```$/msg;
cmp_ok($made, '>=', 5, 'the query is made as the README says');
$node->safe_psql('postgres', $role);
my $service = HttpService->new($node, role => 'readmodel-http');
$service->wait_status('/ready', 200, 'the service is ready');
$ENV{HASH} = $node->safe_psql('postgres', 'SELECT definition_hash FROM readmodel.status()');

my $count = 0;
while ($examples =~ /^```sh\n(.*?)^```\n```text\n(.*?)^```$/msg)
{
    my ($command, $expected) = ($1, $2);
    my $url = $service->url;
    (my $here = $command) =~ s{http://127\.0\.0\.1:8080}{$url}g;
    my $output = '';
    IPC::Run::run(['bash', '-c', "set -euo pipefail; alias curl='curl --silent --show-error'; shopt -s expand_aliases\n$here"], '>', \$output)
      or diag("the command fails: $command");
    chomp $expected;
    is($output, $expected, $command =~ s/\n//r);
    $count++;
}
cmp_ok($count, '>=', 6, 'so many examples');
is($service->stop, 0, 'the service stops');
$node->stop;
done_testing();
