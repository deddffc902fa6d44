"""The errors that a person reads. Each text says what happened; the procedures add what serves and what to type."""

from __future__ import annotations


class SwitchbackError(Exception):
    """Something a person has to know about; its text is written for them."""


class EngineError(SwitchbackError):
    """The Docker Engine cannot be reached, or refused."""


class ProcedureFailed(SwitchbackError):
    """A gate, a switch or a configuration did not succeed; the text is the whole report."""
