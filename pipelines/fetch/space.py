"""Whether a disk has room for what is going to arrive."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from pipelines.datasets.adapter import Download
from pipelines.fetch.errors import DownloadError

RESERVE: Final = 256 << 20
"""Bytes of a disk that are left alone: a full one stops more than this program."""
_UNPACKED_SHARE: Final = 1.5
"""Estimated bytes unpacked for each byte of an archive: films as PNG or JPEG hardly shrink, DICOM by a third or so."""


class Needs(NamedTuple):
    """What a fetch takes."""

    download: int
    """Bytes that are still to come."""
    disk: int
    """Bytes taken at the worst moment, archives and unpacked files together."""
    unsized: int
    """Files whose size nobody publishes, which are not in these sums."""


def free_bytes(folder: Path) -> int:
    """Bytes that may still be written below a folder, which need not exist yet."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return max(0, shutil.disk_usage(place).free - RESERVE)


def unpacked_size(download: Download) -> int:
    """Bytes that an archive unpacks to: as published, or estimated; 0 where its own size is not known either."""
    if download.unpacked is not None:
        return download.unpacked
    return round((download.size or 0) * _UNPACKED_SHARE)


def needs(downloads: Sequence[tuple[Download, int]], *, unpack: bool, keep: bool) -> Needs:
    """What files take one after the other.

    Args:
        downloads: files in order, each with its bytes that are here already.
        unpack: whether archives are unpacked.
        keep: whether an archive stays afterwards.
    """
    settled = worst = coming = 0
    for download, have in downloads:
        left = max(0, (download.size or 0) - have)
        coming += left
        unpacked = unpacked_size(download) if unpack and download.unpack else 0
        worst = max(worst, settled + left + unpacked)
        settled += unpacked + (left if keep or not unpacked else -have)
    return Needs(coming, max(worst, settled), sum(download.size is None for download, _ in downloads))


def require_space(folder: Path, wanted: int, what: str) -> None:
    """Refuse what the disk has no room for.

    Raises:
        DownloadError: says how much is needed and how much there is.
    """
    free = free_bytes(folder)
    if wanted > free:
        raise DownloadError(
            f"{folder}: {what} needs about {readable(wanted)}, the disk has {readable(free)} to spare; "
            "make room, or give another folder with --to"
        )


def readable(count: int) -> str:
    """Bytes in the decimal units that servers and disks are labelled with: ``45.1 GB``."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
