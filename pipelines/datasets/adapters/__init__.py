"""One module per data set (or per family that shares a layout); each names its adapters in ``ADAPTERS``.

A new module here is found by itself: nothing else needs to be told of it.
"""
