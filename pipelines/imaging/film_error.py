"""How the parts of this room say no before they know which file they are reading."""

from pipelines.errors import Reason


class FilmError(Exception):
    """One film that cannot be used; `read_radiograph` and `read_facts` add the path to it.

    Attributes:
        reason: the stable code.
        detail: one clause naming the attribute, what was found and what was expected; never text from the header.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
