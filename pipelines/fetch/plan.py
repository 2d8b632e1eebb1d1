"""Which files of a data set to fetch, from where; and fetching them one after the other."""

import fnmatch
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from pipelines.datasets.adapter import Adapter, Download
from pipelines.fetch.download import Downloader, Note, Progress
from pipelines.fetch.errors import DownloadError
from pipelines.fetch.space import Needs, needs, require_space
from pipelines.fetch.unpacking import TEMPORARY, unpack


@dataclass(frozen=True)
class Plan:
    """What one call of ``cxr fetch`` is to do."""

    adapter: Adapter
    downloads: Sequence[Download]
    mirror: str | None = None
    """Address of a folder that holds ``<data set>/<file>``; None: the publisher."""
    unpack: bool = True
    keep_archives: bool = False

    def url(self, download: Download) -> str:
        """Where a file is got."""
        if self.mirror is None:
            return download.url
        return f"{self.mirror.rstrip('/')}/{self.adapter.name}/{download.to}"

    def pending(self, downloader: Downloader) -> list[Download]:
        """Files that are not done yet: an archive is done when it is unpacked."""
        return [download for download in self.downloads if not self._done(downloader, download)]

    def needs(self, downloader: Downloader) -> Needs:
        """What is still to come takes."""
        having = []
        for download in self.pending(downloader):
            sized = replace(download, size=downloader.size(download, self.url(download)))
            having.append((sized, downloader.have(download)))
        return needs(having, unpack=self.unpack, keep=self.keep_archives)

    def _done(self, downloader: Downloader, download: Download) -> bool:
        fetched = downloader.record.files.get(download.to)
        if fetched is None or fetched.published != download.digest:
            return False
        folder = (downloader.root / download.to).parent
        if fetched.unpacked is not None:
            return all((folder / name).exists() for name in fetched.some)
        here = (downloader.root / download.to).is_file()
        return here and not (self.unpack and download.unpack)


@dataclass
class Outcome:
    """What was done."""

    fetched: list[str] = field(default_factory=list)
    unpacked: list[str] = field(default_factory=list)
    files: int = 0
    """Unpacked from archives."""


def chosen(adapter: Adapter, only: Sequence[str] = ()) -> list[Download]:
    """Files to fetch.

    Args:
        adapter: of the data set.
        only: patterns (``*`` and ``?``) of file names; none: every file that is fetched unasked.

    Raises:
        DownloadError: a pattern fits no file; lists them.
    """
    if not only:
        return [download for download in adapter.downloads if download.default]
    for pattern in only:
        if not any(_fits(download, pattern) for download in adapter.downloads):
            names = ", ".join(download.to for download in adapter.downloads)
            raise DownloadError(f"--only: {pattern!r} fits none of the files of {adapter.name}: {names}")
    return [download for download in adapter.downloads if any(_fits(download, pattern) for pattern in only)]


def _fits(download: Download, pattern: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for name in (download.to, PurePosixPath(download.to).name))


def carry_out(
    plan: Plan, downloader: Downloader, *, unpacking: Progress | None = None, note: Note | None = None
) -> Outcome:
    """Fetch, check and unpack every file of a plan that is not done yet.

    Args:
        plan: what to do.
        downloader: of the folder; its record holds what was done, whatever happens.
        unpacking: told (file, bytes of the archive read, its bytes).
        note: told what is left alone.

    Raises:
        DownloadError: a file cannot be had.
        ArchiveError: an archive is damaged or hostile.
    """
    outcome = Outcome()
    pending = plan.pending(downloader)
    for download in plan.downloads:
        if download not in pending:
            if note is not None:
                note(f"{download.to}: done before")
            continue
        path = downloader.fetch(download, plan.url(download))
        outcome.fetched.append(download.to)
        if plan.unpack and download.unpack:
            outcome.files += _unpack(plan, downloader, download, path, unpacking)
            outcome.unpacked.append(download.to)
    return outcome


def _unpack(plan: Plan, downloader: Downloader, download: Download, path: Path, unpacking: Progress | None) -> int:
    def report(done: int, total: int) -> None:
        if unpacking is not None:
            unpacking(download.to, done, total)

    unpacked = unpack(path, path.parent, progress=report)
    fetched = downloader.record.files[download.to]
    fetched.unpacked, fetched.some = unpacked
    downloader.record.save(downloader.root)
    if not plan.keep_archives:
        path.unlink()
    return unpacked.files


def prepare(plan: Plan, downloader: Downloader) -> Needs:
    """Look whether the disk has room for what a plan takes, after removing what killed runs left.

    Raises:
        DownloadError: it has not; says how much is needed and how much there is.
    """
    _sweep(downloader.root, plan.downloads)
    needed = plan.needs(downloader)
    require_space(downloader.root, needed.disk, plan.adapter.name)
    return needed


def _sweep(root: Path, downloads: Sequence[Download]) -> None:
    """Remove what killed runs unpacked halfway, so that the disk is measured without it."""
    for folder in {(root / download.to).parent for download in downloads}:
        for left in folder.glob(f"{TEMPORARY}*"):
            shutil.rmtree(left)
