"""Which part of the body a header says was examined: a closed list of terms, never the text itself.

Source: DICOM PS3.16, annex L (defined terms of Body Part Examined).
"""

import re
from typing import Final

CHEST_PARTS: Final = frozenset(
    {"AORTA", "BRONCHUS", "CHEST", "CHESTABDOMEN", "CHESTABDPELVIS", "CLAVICLE", "CORONARYARTERY", "ESOPHAGUS", "HEART"}
    | {"LUNG", "MEDIASTINUM", "NECKCHEST", "NECKCHESTABDOMEN", "NECKCHESTABDPELV", "PHANTOM", "RIB", "STERNUM"}
    | {"THYMUS", "TRACHEA", "WHOLEBODY"}
)
"""Terms that a film of the chest may carry: the chest, what lies in it, its bony cage, and regions that contain it.

RIB, STERNUM and CLAVICLE pass because departments file chest films under them; a film of the bone alone is for the
picture rules to find. The thoracic spine, the breast and the shoulder are other examinations and do not pass.
"""

OTHER_PARTS: Final = frozenset(
    {"ABDOMEN", "ABDOMENPELVIS", "ACJOINT", "ADRENAL", "ANKLE", "ANUS", "ARM", "AXILLA", "BACK", "BILEDUCT", "BLADDER"}
    | {"BRAIN", "BREAST", "BUTTOCK", "CALCANEUS", "CALF", "CAROTID", "CEREBELLUM", "CERVIX", "CHEEK", "CIRCLEOFWILLIS"}
    | {"COCCYX", "COLON", "CORNEA", "CSPINE", "CTSPINE", "DUODENUM", "EAR", "ELBOW", "EXTREMITY", "EYE", "EYELID"}
    | {"FACE", "FEMUR", "FIBULA", "FINGER", "FOOT", "FOREARM", "GALLBLADDER", "HAND", "HEAD", "HEADNECK", "HIP"}
    | {"HUMERUS", "IAC", "ILEUM", "ILIUM", "JAW", "JEJUNUM", "KIDNEY", "KNEE", "LARYNX", "LEG", "LIVER", "LSPINE"}
    | {"LSSPINE", "MANDIBLE", "MASTOID", "MAXILLA", "MOUTH", "NECK", "NOSE", "OPTICCANAL", "ORBIT", "OVARY", "PANCREAS"}
    | {"PAROTID", "PATELLA", "PELVIS", "PELVISLOWEXTREMT", "PENIS", "PHARYNX", "PROSTATE", "RADIUS", "RADIUSULNA"}
    | {"RECTUM", "SACRUM", "SCALP", "SCAPULA", "SCJOINT", "SCLERA", "SCROTUM", "SELLA", "SHOULDER", "SIJOINT", "SINUS"}
    | {"SKULL", "SPINE", "SPLEEN", "SSPINE", "STOMACH", "SUBMANDIBULAR", "TESTIS", "THIGH", "THUMB", "THYROID"}
    | {"TIBIA", "TIBIAFIBULA", "TLSPINE", "TMJ", "TMJOINT", "TOE", "TONGUE", "TSPINE", "ULNA", "URETER", "URETHRA"}
    | {"UTERUS", "VAGINA", "VULVA", "WRIST", "ZYGOMA"}
)
"""Known terms whose films are no films of the chest."""

_SYNONYMS: Final = {
    "ABD": "ABDOMEN",
    "CERVICALSPINE": "CSPINE",
    "CXR": "CHEST",
    "FEET": "FOOT",
    "LUMBARSPINE": "LSPINE",
    "NECKCHESTABDPELVIS": "NECKCHESTABDPELV",
    "SACRALSPINE": "SSPINE",
    "THORACICSPINE": "TSPINE",
    "THORAX": "CHEST",
    "TORAX": "CHEST",
}
_SIDES: Final = frozenset({"L", "R", "LEFT", "RIGHT", "BOTH", "BILATERAL"})


def body_part(text: str) -> str | None:
    """The defined term that a Body Part Examined means; None where it is empty or means none of them.

    Case, punctuation, a side (``L KNEE``) and a plural (``HANDS``) are looked through.
    """
    words = [word for word in re.split(r"[^A-Z]+", text.upper()) if word]
    for kept in (words, [word for word in words if word not in _SIDES]):
        joined = "".join(kept)
        for term in (joined, joined.removesuffix("S")):
            term = _SYNONYMS.get(term, term)
            if term in CHEST_PARTS or term in OTHER_PARTS:
                return term
    return None
