"""The font that a page carries: so that Vietnamese is there in HTML, SVG and PDF, whatever the reader's machine has."""

import base64
import io
from functools import cache
from pathlib import Path
from typing import Final

import matplotlib
from fontTools import subset
from fontTools.ttLib import TTFont

FILES: Final = {"normal": "DejaVuSans.ttf", "bold": "DejaVuSans-Bold.ttf"}
"""Faces by weight; Matplotlib brings them."""
ALWAYS: Final = "".join(chr(code) for code in range(0x20, 0x7F))


def font_file(weight: str) -> Path:
    """A face of the font."""
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / FILES[weight]


def font_faces(name: str, text: str) -> str:
    """CSS that embeds the font with the characters of a text.

    Args:
        name: what the page calls the font. Its licence asks that a changed font has a name of its own.
        text: all that is to be drawn; characters that the font lacks are left to the reader's machine.

    Returns:
        ``@font-face`` rules with WOFF data; the same text gives the same bytes.
    """
    characters = "".join(sorted({*text, *ALWAYS}))
    return "\n".join(
        f'@font-face {{ font-family: "{name}"; font-weight: {weight}; '
        f"src: url(data:font/woff;base64,{_woff(weight, characters)}) format('woff'); }}"
        for weight in FILES
    )


@cache
def _woff(weight: str, characters: str) -> str:
    options = subset.Options(
        flavor="woff",
        layout_features=["*"],
        notdef_outline=True,
        hinting=False,
        drop_tables=["FFTM", "GSUB", "GPOS", "kern", "GDEF"],
    )
    font = TTFont(font_file(weight), recalcTimestamp=False)
    cutter = subset.Subsetter(options)
    cutter.populate(text=characters)
    cutter.subset(font)
    font.flavor = "woff"
    packed = io.BytesIO()
    font.save(packed)
    return base64.b64encode(packed.getvalue()).decode("ascii")
