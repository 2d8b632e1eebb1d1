"""Statistics on arrays: estimates with intervals, and nothing that knows a file or a table (no torch)."""
