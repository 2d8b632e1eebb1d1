"""Thresholds: how they are chosen and locked, and what one does."""
