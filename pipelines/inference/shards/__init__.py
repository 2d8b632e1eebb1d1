"""One run on many machines that share a folder: each does its part of it, and the parts are joined."""
