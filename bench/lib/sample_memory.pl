# sample_memory.pl POSTMASTER NAME STOP-FILE: prints "milliseconds pid kB" of RssAnon every 10 ms, for each child of the
# postmaster whose title contains NAME, from its first moments on, until the file is there.
use strict;
use warnings;
use Time::HiRes qw(time sleep);

my ($postmaster, $name, $stop) = @ARGV;
my $begin = time;
my %ours;    # pid => whether it is one; a title is set a moment after the fork
$| = 1;

sub slurp
{
    my ($path) = @_;
    open my $file, '<', $path or return '';
    local $/;
    return scalar(<$file>) // '';
}

until (-e $stop || !-d "/proc/$postmaster")
{
    my @children = split ' ', slurp("/proc/$postmaster/task/$postmaster/children");
    my %alive = map { $_ => 1 } @children;
    delete @ours{ grep { !$alive{$_} } keys %ours };
    for my $pid (@children)
    {
        if (!$ours{$pid})
        {
            # A process that has another title by now will not become one.
            next if defined $ours{$pid};
            my $title = slurp("/proc/$pid/cmdline");
            if (index($title, $name) < 0)
            {
                $ours{$pid} = 0 if $title =~ /^postgres: (?!pg_readmodel)/;
                next;
            }
            $ours{$pid} = 1;
        }
        printf "%.0f %d %d\n", 1000 * (time - $begin), $pid, $1 if slurp("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m;
    }
    sleep 0.01;
}
