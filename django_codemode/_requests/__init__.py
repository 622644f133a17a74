"""The parts that views and consumers share for one request."""
