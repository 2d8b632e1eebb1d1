"""Accuracy of one score set, and of two side by side."""
