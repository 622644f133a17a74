"""The gRPC of this process: its channels, across threads, loops, forks and greenlets."""
