"""From a publisher's server to a data root: terms, disk space, transfer, unpacking, and what arrived."""

from pipelines.fetch.arrival import Arrival, Finding, check_arrival
from pipelines.fetch.download import Downloader
from pipelines.fetch.errors import ArchiveError, DownloadError, TermsError
from pipelines.fetch.plan import Outcome, Plan, carry_out, chosen, prepare
from pipelines.fetch.record import RECORD_FILE, Record, load_record, sole_fetch
from pipelines.fetch.space import free_bytes, readable
from pipelines.fetch.terms import accept, is_accepted, terms, terms_digest
from pipelines.fetch.unpacking import Limits, Unpacked, unpack

__all__ = [
    "RECORD_FILE",
    "ArchiveError",
    "Arrival",
    "DownloadError",
    "Downloader",
    "Finding",
    "Limits",
    "Outcome",
    "Plan",
    "Record",
    "TermsError",
    "Unpacked",
    "accept",
    "carry_out",
    "check_arrival",
    "chosen",
    "free_bytes",
    "is_accepted",
    "load_record",
    "prepare",
    "readable",
    "sole_fetch",
    "terms",
    "terms_digest",
    "unpack",
]
