"""Does it work as well in every group? Accuracy by subgroup, and gaps."""
