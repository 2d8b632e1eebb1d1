"""A folder that films keep arriving in: each is read once, and its row appears within seconds."""
