#!/usr/bin/perl
# Prints the tokens of the programs that run_remote.pl runs in this pod, each once and a line of its own. With
# a token and the number of a signal it sends that to the program of that token instead, SIGKILL to all of it.
#
# Only this user's processes can be asked, and any of them may give itself any environment: what looks like a
# token is one.
use strict;
use warnings;

use constant { MOST_TOKENS => 256, LONGEST_ENVIRONMENT => 2**20, SIGKILL => 9 };

my ($token, $number) = @ARGV;
my (%tokens, %parent);
for my $path (glob '/proc/[0-9]*') {
    my ($pid) = $path =~ /(\d+)$/;
    my $environment = "\0" . text("$path/environ");
    my ($mark) = $environment =~ /\0OCM_SESSION=([A-Za-z0-9_.-]{1,100})\0/ or next;
    $tokens{$pid} = $mark;
    # The name before it may hold anything, a parenthesis too.
    ($parent{$pid}) = text("$path/stat") =~ /\) [A-Za-z] ([0-9]+)[^)]*\z/;
}
if (defined $token) {
    my %own = map { $_ => 1 } grep { $tokens{$_} eq $token } keys %tokens;
    my @heard = grep { $number == SIGKILL || !$own{ $parent{$_} // 0 } } keys %own;
    kill $number, @heard;
    exit 0;
}
my %found = map { $_ => 1 } values %tokens;
my @found = sort keys %found;
print map { "$_\n" } splice @found, 0, MOST_TOKENS;

sub text {
    my ($path) = @_;
    open my $file, '<', $path or return '';
    my $text = '';
    sysread $file, $text, LONGEST_ENVIRONMENT;
    return $text;
}
