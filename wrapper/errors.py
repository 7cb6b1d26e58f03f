"""What goes wrong in ways that a person can do something about.

Every message says what happened and what to do next; it is shown to people as it stands.
"""


class WrapperError(Exception):
    """Anything a user of the page, the command line or the library can act on."""


class ImageError(WrapperError):
    """A picture cannot be used. Shown to whoever supplied it."""


class ExpressionError(WrapperError):
    """An expression cannot be used. Shown to whoever typed it."""


class ModelError(WrapperError):
    """A checkpoint or adapter cannot be loaded or does not fit. Shown to whoever chose it."""


class DataError(WrapperError):
    """A data set, candidates file or run folder cannot be used. Shown to whoever named it; says which file and row."""
