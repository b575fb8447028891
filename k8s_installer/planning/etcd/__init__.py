"""What is known of etcd's members, and the plans that would cost their data or their quorum. Pure."""
