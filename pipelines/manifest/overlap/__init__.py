"""Which films show the same picture: candidates from an index, alignment of fingerprints, a look at the pixels."""
