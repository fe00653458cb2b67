"""The errors that a user can act on: each message says what, where, and what is allowed.

OverroundError
├── SettingsError        an environment variable or a line of .env
├── ParameterError       an argument of a call, a parameter of a notebook (also a ValueError)
│   └── UnknownMethod    a method of margin removal
├── FetchError           a provider that cannot be reached, or answers with an error
├── SourceError          an answer that is not what the provider documents
├── TableError           rows that break the contract of a table
├── StoreError           the store cannot do what was asked
└── RunError             a notebook that failed
"""


class OverroundError(Exception):
    """Root of every error that Overround raises on purpose."""


class SettingsError(OverroundError):
    """A setting (environment variable, `.env` line) that cannot be used."""


class ParameterError(OverroundError, ValueError):
    """A parameter of a call or a notebook: unknown name, wrong type, out of range."""


class UnknownMethod(ParameterError):
    """A margin-removal method that does not exist; the message lists those that do."""


class FetchError(OverroundError):
    """A provider could not be reached or answered with an error; `status` is its HTTP status, 0 without an answer."""

    def __init__(self, message: str, status: int = 0):
        super().__init__(message)
        self.status = status


class SourceError(OverroundError):
    """A provider's answer that is not what the provider documents."""


class TableError(OverroundError):
    """Rows that break the contract of a table."""


class StoreError(OverroundError):
    """The store cannot do what was asked; what it held before is untouched."""


class RunError(OverroundError):
    """A notebook run that failed; the partly executed notebook is kept."""
