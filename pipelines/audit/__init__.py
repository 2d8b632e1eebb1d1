"""Films whose label and out-of-fold prediction disagree most: found, listed, shown, and corrected after review."""
