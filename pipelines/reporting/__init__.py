"""The clinician's report: evaluation folders -> one self-contained page."""
