"""Errors of this layer; the program above turns them into one sentence and exit code 2."""


class ModelError(ValueError):
    """An architecture, a weight file or a model package that cannot be used: says which, what was found, expected."""
