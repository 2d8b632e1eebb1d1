"""Who made the equipment: a closed list of makers, because Manufacturer is free text and may hold anything.

A name that is not on the list is unknown, whatever it looks like: "P. Nguyen" looks like a company's name too.
"""

import re
from typing import Final

# As people write them at the beginning of Manufacturer, in small letters -> one name for each maker.
_BEGINNINGS: Final = {
    "agfa": "Agfa",
    "allengers": "Allengers",
    "canon": "Canon",
    "carestream": "Carestream",
    "del medical": "Del Medical",
    "delft": "Delft Imaging",
    "oldelft": "Delft Imaging",
    "drgem": "DRGEM",
    "drtech": "DRTECH",
    "eastman kodak": "Kodak",
    "kodak": "Kodak",
    "fuji": "Fujifilm",
    "fujifilm": "Fujifilm",
    "ge": "GE",
    "general electric": "GE",
    "hologic": "Hologic",
    "icrco": "iCRco",
    "imaging dynamics": "Imaging Dynamics",
    "konica": "Konica Minolta",
    "konica minolta": "Konica Minolta",
    "listem": "Listem",
    "lumisys": "Lumisys",
    "mindray": "Mindray",
    "shenzhen mindray": "Mindray",
    "minxray": "MinXray",
    "neusoft": "Neusoft",
    "philips": "Philips",
    "rayence": "Rayence",
    "samsung": "Samsung",
    "sedecal": "Sedecal",
    "shimadzu": "Shimadzu",
    "siemens": "Siemens",
    "swissray": "Swissray",
    "toshiba": "Toshiba",
    "trixell": "Trixell",
    "united imaging": "United Imaging",
    "varex": "Varex",
    "varian": "Varian",
    "vieworks": "Vieworks",
    "phantom imaging a": "Phantom Imaging A",
    "phantom imaging b": "Phantom Imaging B",
    "phantom imaging c": "Phantom Imaging C",
}
_WORDS: Final = re.compile(r"[a-z0-9]+")
_LONGEST: Final = max(name.count(" ") + 1 for name in _BEGINNINGS)


def vendor(text: str) -> str | None:
    """The maker that a Manufacturer begins with, word by word; None where it is none of those known."""
    words = _WORDS.findall(text.lower())[:_LONGEST]
    beginnings = (" ".join(words[:count]) for count in range(len(words), 0, -1))
    return next((_BEGINNINGS[name] for name in beginnings if name in _BEGINNINGS), None)
