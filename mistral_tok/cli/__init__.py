"""The command line `mistral-tok`; each command is a module of this package."""

from mistral_tok.cli.main import main

__all__ = ["main"]
