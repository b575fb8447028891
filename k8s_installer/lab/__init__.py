"""Real local test hosts: containers that boot systemd and sshd, and the yum repository they install from.

drivers    up, status, ssh, down: what the command line calls
fleet      the same as containers, which the tests call, too
state      where a lab is kept, which processes are its own
machine    what this machine can do, and what it lacks
debian     packages and sources from the mirror that this machine's apt uses
artifacts  results kept by the digest of their inputs
programs · rpms · images · base      what the hosts are made of, each an artefact
network · cgroups · hosts · server   a running lab, each with its way up and its way down
vagrant    the same topology on CentOS 7 boxes
"""
