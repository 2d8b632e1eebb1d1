"""Several systems, or versions of one, on the same films."""
