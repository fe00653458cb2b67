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
    """Base of all errors that Overround raises on purpose."""


class SettingsError(OverroundError):
    """A setting (environment variable or line in `.env`) cannot be used."""


class ParameterError(OverroundError, ValueError):
    """A parameter of a call or a notebook has an unknown name, a wrong type or a value out of range."""


class UnknownMethod(ParameterError):
    """An unknown method of removing margins; the message lists the known ones."""


class FetchError(OverroundError):
    """A provider could not be reached or answered with an error; `status` is the HTTP status, or 0."""

    def __init__(self, message: str, status: int = 0):
        super().__init__(message)
        self.status = status


class SourceError(OverroundError):
    """A provider's answer does not have the documented form."""


class TableError(OverroundError):
    """Rows violate the schema of a table."""


class StoreError(OverroundError):
    """The store cannot carry out an operation; its previous content is unchanged."""


class RunError(OverroundError):
    """The run of a notebook failed; the partly executed notebook is kept."""
