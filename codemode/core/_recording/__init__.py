"""What a recording holds, as bytes and as a replay, and one run's passage over it."""
