"""How far do controls that see no lungs get, before any model is trained: the study behind ``cxr shortcut``."""
