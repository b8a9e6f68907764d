#!/usr/bin/perl
# Runs a program with an instance's secrets in its environment; one that is set already stays.
# With a proxy the instance still reaches itself without one, unless it is said what is to be.
use strict;
use warnings;
my $path = shift @ARGV;
if (open(my $file, '<', $path)) {
    while (my $line = <$file>) {
        chomp $line;
        $ENV{$1} = $2 if $line =~ /\A([A-Z][A-Z0-9_]*)=(.+)\z/ && !exists $ENV{$1};
    }
    close $file;
} elsif (!$!{ENOENT}) {
    die "the secrets cannot be read: $!\n";
}
if (!exists $ENV{NO_PROXY} && !exists $ENV{no_proxy} && grep { /\A(https?|all)_proxy\z/i } keys %ENV) {
    $ENV{NO_PROXY} = 'localhost,127.0.0.1,::1';
}
# Where installers expect it: OpenClaw's own writes to ~/.local/bin, a link that leads there.
if (my $programs = $ENV{NPM_CONFIG_PREFIX}) {
    mkdir $programs;
    mkdir "$programs/bin";
}
{ no warnings; exec { $ARGV[0] } @ARGV; }
exit 127;
