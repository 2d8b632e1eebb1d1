"""The verb ``predict merge``: two words, because what it joins is what ``predict`` made."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from pipelines.cli.console import progress, say

MERGE_VERB: Final = "predict merge"


class Verbs(TyperGroup):
    """Verbs of one word, and `MERGE_VERB`.

    ``predict`` takes films as its arguments, so it cannot be a group of verbs. A folder called merge is still a folder:
    it is the second word of the command only where it stands right behind ``predict``, and ``./merge`` never is.
    """

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Take ``predict merge`` as one word."""
        if args[:2] == MERGE_VERB.split():
            args = [MERGE_VERB, *args[2:]]
        return super().resolve_command(ctx, args)


def merge(
    out: Annotated[Path, typer.Argument(help="Folder that the shards were given with --out.")],
    restart: Annotated[
        bool, typer.Option("--restart", help="Throw away what is in OUT beside its shards, and join them again.")
    ] = False,
) -> None:
    """Join the shards of a run into one predictions table, the same as one process would have written.

    Refused where a shard is missing, unfinished, or of another model, list of films or setting. The shards stay as they
    are. The exit code is 1 where films have no score.

    A folder of films that is called merge is scored with `cxr predict ./merge`.

    Example: `cxr predict merge predictions`
    """
    from pipelines.inference.shards.merge import merge_shards

    with progress("films joined") as report:
        summary = merge_shards(out, restart=restart, progress=report)
    for line in summary.lines():
        say(line)
    if summary.failed:
        raise typer.Exit(1)
