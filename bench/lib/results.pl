# results.pl DIRECTORY QUICK FILE: prints the table of what lib/results.sh collected in the directory, and writes it as JSON.
use strict;
use warnings;
use JSON::PP;

my ($directory, $quick, $file) = @ARGV;

sub lines_of
{
    my ($name) = @_;
    open my $in, '<:encoding(UTF-8)', "$directory/$name" or die "$directory/$name: $!\n";
    chomp(my @lines = <$in>);
    return map { [ split /\t/, $_, -1 ] } @lines;
}

sub number { my ($text) = @_; return $text eq '-' ? undef : $text + 0 }
sub text { my ($text) = @_; return $text eq '-' ? undef : $text }

sub met
{
    my ($target, $value, $ratio) = @_;
    return undef if !defined $target;
    $target =~ /^(value|ratio) (>=|<=|<|>) (-?[0-9.]+)$/ or die "no target: \"$target\"\n";
    my $figure = $1 eq 'value' ? $value : $ratio;
    return undef if !defined $figure;
    my $holds =
          $2 eq '>=' ? $figure >= $3
        : $2 eq '<=' ? $figure <= $3
        : $2 eq '<'  ? $figure < $3
        :              $figure > $3;
    return $holds ? JSON::PP::true : JSON::PP::false;
}

my (@suites, %suite, %chart);
for (lines_of('suites'))
{
    my ($number, $name, $title, $seconds) = @$_;
    push @suites, $suite{$number} =
        { suite => $number + 0, name => $name, title => $title, seconds => $seconds + 0, rows => [], charts => [] };
}
for (lines_of('rows'))
{
    my ($number, $figure, $value, $unit, $baseline_name, $baseline, $ratio, $target) = @$_;
    my %row = (
        figure => $figure, value => number($value), unit => $unit, baseline_name => text($baseline_name),
        baseline => number($baseline), ratio => number($ratio), target => text($target));
    $row{met} = met($row{target}, $row{value}, $row{ratio});
    push @{ $suite{$number}{rows} }, \%row;
}
for (lines_of('charts'))
{
    my ($number, $id, $type, $title, $xlabel, $ylabel, @options) = @$_;
    push @{ $suite{$number}{charts} }, $chart{$id} =
        { id => $id, type => $type, title => $title, xlabel => $xlabel, ylabel => $ylabel, options => \@options, series => [] };
}
for (lines_of('points'))
{
    my ($id, $name, $x, $y) = @$_;
    my $chart = $chart{$id} or die "no chart \"$id\"\n";
    my ($series) = grep { $_->{name} eq $name } @{ $chart->{series} };
    push @{ $chart->{series} }, $series = { name => $name, points => [] } if !$series;
    push @{ $series->{points} }, [ $chart->{type} eq 'bars' ? $x : $x + 0, $y + 0 ];
}

# --- the table ------------------------------------------------------------------------------------------------------------

sub shown
{
    my ($number) = @_;
    return '' if !defined $number;
    my $text = sprintf abs($number) >= 1000 ? '%.0f' : '%.4g', $number;
    1 while $text =~ s/^(-?\d+)(\d{3})/$1,$2/;
    return $text;
}

my @head = ('', 'figure', 'measured', 'baseline', 'of baseline', 'ratio', 'target', 'met');
my @table = (\@head);
for my $suite (@suites)
{
    for my $row (@{ $suite->{rows} })
    {
        push @table, [
            $suite->{suite}, $row->{figure},
            defined $row->{value} ? shown($row->{value}) . " $row->{unit}" : 'not available in this build',
            $row->{baseline_name} // '', shown($row->{baseline}), shown($row->{ratio}), $row->{target} // '',
            defined $row->{met} ? ($row->{met} ? 'yes' : 'NO') : ''
        ];
    }
}
my @width = map { my $column = $_; (sort { $b <=> $a } map { length $_->[$column] } @table)[0] } 0 .. $#head;
my %right = map { $_ => 1 } 0, 2, 4, 5;
binmode STDOUT, ':encoding(UTF-8)';
for my $line (0 .. $#table)
{
    my $text = join ' | ', map { sprintf $right{$_} ? "%*s" : "%-*s", $width[$_], $table[$line][$_] } 0 .. $#head;
    $text =~ s/\s+$//;
    print "$text\n";
    print join('-+-', map { '-' x $_ } @width), "\n" if $line == 0;
}
print "A quick run: these figures only show that everything works.\n" if $quick;

# --- the file -------------------------------------------------------------------------------------------------------------

my %facts = map { @$_[ 0, 1 ] } lines_of('facts');
my %machine = map { $_ => delete $facts{$_} } qw(processor cores memory_mb kernel system load_before);
my %versions = map { $_ => delete $facts{$_} } qw(server extension commit compiler);
my %run = (
    at => delete $facts{date}, seconds => delete($facts{seconds}) + 0, quick => $quick ? JSON::PP::true : JSON::PP::false,
    machine => \%machine, versions => \%versions, settings => \%facts, suites => \@suites);
open my $out, '>', "$file.new" or die "$file.new: $!\n";
print $out JSON::PP->new->utf8->pretty->canonical->encode(\%run);
close $out or die "$file.new: $!\n";
rename "$file.new", $file or die "$file: $!\n";
