# When the oracle disagrees: the first instance that differs, the events that made it, who wrote them when, and what was going on
# around that time.
package Torture::Blame;

use strict;
use warnings;
use File::Glob ':bsd_glob';    # a path may have blanks
use JSON::PP;
use POSIX qw(strftime);
use Torture::Oracle;

my $most_events = 30;
my $most_lines = 60;

sub shown { return defined $_[0] ? $_[0] : 'nothing' }

sub clipped
{
    my ($text) = @_;
    return shown($text) if !defined $text || length($text) <= 1500;
    return substr($text, 0, 700) . ' .. ' . substr($text, -700);
}

# The positions that a state lists, if it does.
sub positions_in
{
    my ($state) = @_;
    my $document = defined $state ? decode_json($state) : {};
    return $document->{positions} ? @{ $document->{positions} } : ();
}

# Which of the events are most likely the ones at fault.
sub suspects
{
    my ($difference, @events) = @_;
    my %known = map { $_->{position} => 1 } @events;
    my @expected = positions_in($difference->{expected_state});
    my @found = positions_in($difference->{found_state});
    if (@expected || @found)
    {
        my (%expected, %found);
        $expected{$_}++ foreach @expected;
        $found{$_}++ foreach @found;
        return ('missing from the list' => [ grep { !$found{$_} } @expected ],
            'in the list, but should not be' => [ grep { !$expected{$_} } sort { $a <=> $b } keys %found ],
            'in the list more than once' => [ grep { $found{$_} > 1 } sort { $a <=> $b } keys %found ],
            'out of order' => [ map { $found[$_] } grep { $found[$_] < $found[ $_ - 1 ] } 1 .. $#found ]);
    }
    my $expected = defined $difference->{expected_state} ? decode_json($difference->{expected_state}) : {};
    my $found = defined $difference->{found_state} ? decode_json($difference->{found_state}) : {};
    my $missing = ($expected->{total} // 0) - ($found->{total} // 0);
    my $count = ($expected->{count} // $expected->{moves} // 0) - ($found->{count} // $found->{moves} // 0);
    return ("the one that is missing, going by the amount of $missing" => [ map { $_->{position} } grep { $_->{amount} == $missing } @events ])
      if $count == 1;
    return ("the one that counts twice, going by the amount of @{[ -$missing ]}" => [ map { $_->{position} } grep { $_->{amount} == -$missing } @events ])
      if $count == -1;
    my $last = $difference->{found_position};
    return ('after the last one that was applied' => [ grep { !defined $last || $_ > $last } map { $_->{position} } @events ]);
}

# Lines of the server's log, of our processes or about crashes, whose time lies between two (epoch seconds).
sub server_log
{
    my ($from, $to) = @_;
    my ($low, $high) = map { strftime('%Y-%m-%d %H:%M:%S', localtime $_) } $from, $to + 1;
    open(my $log, '<', $ENV{TORTURE_LOG}) or return ("(no log: $!)\n");
    my @lines;
    my $inside = 0;
    while (my $line = <$log>)
    {
        if (my ($time) = $line =~ /^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)/)
        {
            $inside = $time ge $low && $time le $high && $line =~ /\] (pg_readmodel|postmaster|startup)|FATAL|PANIC|WARNING/;
            $inside = 0 if $line =~ /\] client backend .*FATAL/;    # connections that ended
        }
        push @lines, $line if $inside;
    }
    return @lines;
}

# The diaries' lines between two times: all of those who disturb, and what the given writers' steps were.
sub diaries
{
    my ($from, $to, $steps) = @_;
    my @lines;
    foreach my $file (glob("$ENV{TORTURE_DIARIES}/*"))
    {
        my ($actor) = $file =~ m{([^/]+)$};
        my $writes = $actor =~ /writer/;
        next if $actor =~ /^(watcher|sampler|positions)/;
        open(my $diary, '<', $file) or next;
        while (my $line = <$diary>)
        {
            my ($time, $n, $op, $outcome, $detail) = split(/\t/, $line, 5);
            next if $writes ? !$steps->{"$actor/$n"} : $time < $from || $time > $to;
            chomp $detail;
            push @lines, [ $time, "$actor $n: $op, $outcome" . ($detail ne '' ? ", $detail" : '') ];
        }
    }
    return map { strftime('%H:%M:%S', localtime $_->[0]) . sprintf('.%03d', 1000 * ($_->[0] - int $_->[0])) . "  $_->[1]\n" }
      sort { $a->[0] <=> $b->[0] } @lines;
}

sub limited
{
    my ($most, @lines) = @_;
    return @lines if @lines <= $most;
    return (@lines[ 0 .. $most / 2 - 1 ], '    .. ' . (@lines - $most) . " more ..\n", @lines[ -$most / 2 .. -1 ]);
}

# Called where the difference was found, under the same snapshot.
sub text
{
    my ($dbh, $generation, $relation, $result, $when) = @_;
    my $text = "\nTHE ORACLE DISAGREES, $when\n"
      . "  table kind   $generation->{kind}\n"
      . "  query        \"$generation->{query}\", generation $generation->{generation} (definition $generation->{version}, id $generation->{generation_id})\n"
      . "  status       $generation->{status}" . ($generation->{serving} ? ', serving' : '') . ($generation->{newest} ? ', newest' : '')
      . ($generation->{failure} ? ", $generation->{failure}" : '') . "\n"
      . "  position     " . shown($generation->{position}) . ' (stored ' . shown($generation->{stored}) . ")\n"
      . "  compared     $relation\n";
    $text .= "  fault        $_\n" foreach @{ $result->{faults} };
    my $difference = $result->{different} ? Torture::Oracle::first_difference($dbh, $generation, $relation) : undef;
    return $text if !$difference;

    $text .= "\nFirst instance that differs: $difference->{id}\n"
      . "  expected  " . clipped($difference->{expected_state}) . ', position ' . shown($difference->{expected_position}) . "\n"
      . "  found     " . clipped($difference->{found_state}) . ', position ' . shown($difference->{found_position}) . "\n";
    my @events = Torture::Oracle::events_of($dbh, $generation, $difference->{id});
    my %suspects = suspects($difference, @events);
    my %suspect;
    foreach my $why (sort keys %suspects)
    {
        next if !@{ $suspects{$why} };
        $text .= "  $why: @{ $suspects{$why} }[0 .. ($#{ $suspects{$why} } > 19 ? 19 : $#{ $suspects{$why} })]\n";
        $suspect{$_} = 1 foreach @{ $suspects{$why} };
    }
    my @marked = grep { $suspect{ $_->{position} } } @events;
    @marked = @events > 5 ? @events[ -5 .. -1 ] : @events if !@marked;

    $text .= "\nThe events that made it (* suspected):\n";
    $text .= join('', limited($most_events, map {
        sprintf("  %s %8d  %-7s xid %-8s committed %s  by %s, step %s\n", $suspect{ $_->{position} } ? '*' : ' ', $_->{position}, $_->{type},
            $_->{xmin}, shown($_->{committed}), shown($_->{writer}), shown($_->{step}))
    } @events));

    my @times = sort { $a <=> $b } grep { defined } map { $_->{committed_epoch} } @marked;
    @times = @times[ 0 .. 2 ] if @times > 3;
    my ($from, $to) = @times ? ($times[0] - 1, $times[-1] + 2) : (time - 10, time);
    my %steps = map { ($_->{writer} // '') . '/' . ($_->{step} // '') => 1 } @marked[ 0 .. ($#marked > 9 ? 9 : $#marked) ];
    $text .= "\nWhat was going on around the " . (%suspect ? 'suspected' : 'last') . " events, and the steps that wrote them:\n";
    $text .= join('', map { "  $_" } limited($most_lines, diaries($from, $to, \%steps)));
    $text .= "\nThe server's log around that time:\n";
    $text .= join('', map { "  $_" } limited($most_lines, server_log($from, $to)));
    return $text;
}

1;
