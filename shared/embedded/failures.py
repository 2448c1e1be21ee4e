"""What can keep the local servers from starting, each told in one line that says what to do.

These are failures of the machine's set-up, never answers to a call: they end a command with exit code 1, an option that
cannot be understood with 2.
"""


class LocalStackError(Exception):
    """The local stack cannot do what was asked; the message is one line for a person."""


class BinariesMissing(LocalStackError):
    """No usable server program was found, or the one that was named is not usable."""


class FolderLocked(LocalStackError):
    """Another process works on this data folder."""


class PortTaken(LocalStackError):
    """A port that must be ours belongs to someone else."""


class FolderUnreachable(LocalStackError):
    """A folder is closed to the account that the server has to run as."""


class StartFailed(LocalStackError):
    """A program ended, or did not become ready in time."""


class SettingInvalid(LocalStackError):
    """A setting of the local stack cannot be understood."""


class OptionInvalid(LocalStackError):
    """An option of the command line cannot be understood."""
