"""The compiled core.

`COMPILED` is true when it is; `reference` is its readable twin, chosen explicitly and never by accident.
"""

try:
    from mistral_tok.core.encode import COMPILED
except (ImportError, AttributeError) as error:  # the latter where Cython is installed, but nothing was compiled
    raise ImportError(
        "The compiled core of mistral_tok is missing. Install the package (`pip install .`, which needs a C compiler) "
        "instead of importing it from its source folder."
    ) from error

__all__ = ["COMPILED"]
