# The tutorial in README.md works when it is pasted into psql, and shows what is printed there.
#
# Every ```sql block between the markers goes into one psql session, line by line. A ```text block right after it is what psql
# shows for it, exactly. Blocks without one may print what they like, except errors.
use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

# Blocks of the tutorial: the line where each begins, what is pasted, and what is shown (undef: nothing is said).
sub tutorial_blocks
{
    my ($file) = @_;
    my ($inside, $kind, @blocks) = (0);
    open my $readme, '<', $file or die "cannot read $file: $!";
    while (my $line = <$readme>)
    {
        if (defined $kind)
        {
            if ($line =~ /^```$/) { $kind = undef; }
            elsif ($kind eq 'sql') { $blocks[-1]{sql} .= $line; }
            else { $blocks[-1]{shown} .= $line; }
        }
        elsif ($line =~ /^<!-- tutorial: (begin|end) -->$/) { $inside = $1 eq 'begin'; }
        elsif ($inside && $line =~ /^```(.*)$/)
        {
            $kind = $1;
            if ($kind eq 'sql') { push @blocks, { line => $., sql => '' }; }
            elsif ($kind eq 'text' && @blocks && !defined $blocks[-1]{shown}) { $blocks[-1]{shown} = ''; }
            else { die "$file, line $.: a block of kind \"$kind\" has no place here"; }
        }
    }
    close $readme;
    return @blocks;
}

# What psql adds at the ends of lines, and editors take away, does not count.
sub comparable
{
    my ($text) = @_;
    $text =~ s/[ \t]+$//mg;
    $text =~ s/\n+\z/\n/;
    return $text;
}

my @blocks = tutorial_blocks('../README.md');
cmp_ok(scalar @blocks, '>=', 10, 'README.md has a tutorial');
cmp_ok(scalar(grep { defined $_->{shown} } @blocks), '>=', 8, 'it shows results');

my $node = new_server('tutorial');
my $mark = 'end of block';
my $input = join('', map { "$_->{sql}\n\\echo $mark\n\\warn $mark\n" } @blocks);
my ($out, $err) = ('', '');
IPC::Run::run([ 'psql', '-X', '-d', $node->connstr('postgres') ], '<', \$input, '>', \$out, '2>', \$err);
my @out = split /^\Q$mark\E\n/m, $out, -1;
my @err = split /^\Q$mark\E\n/m, $err, -1;
is(scalar @out, @blocks + 1, 'psql went through all blocks');

foreach my $i (0 .. $#blocks)
{
    my $block = $blocks[$i];
    my $got = comparable(($out[$i] // '') . ($err[$i] // ''));
    if (defined $block->{shown})
    {
        is($got, comparable($block->{shown}), "the block at line $block->{line} shows what README.md says");
    }
    else
    {
        unlike($got, qr/^(ERROR|FATAL|WARNING|invalid command|\\)/m, "the block at line $block->{line} works");
    }
}

$node->stop;
done_testing();
