"""What can go wrong between a publisher's server and a folder, as sentences for users."""

from pipelines.errors import CxrError


class DownloadError(CxrError):
    """A file that could not be had whole and unchanged: names it, what was found and what to do."""


class ArchiveError(CxrError):
    """An archive that is damaged, or that would do more than put films into its folder."""


class TermsError(CxrError):
    """The terms of a data set were not accepted."""
