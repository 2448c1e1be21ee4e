"""What the file tools refuse, in one hierarchy; the text of each is one line that can be shown.

No text carries a key, a password or a value out of a file.
"""


class ExportFileError(Exception):
    """A file, a key or an option that the tools cannot work with."""


class InvalidExport(ExportFileError):
    """The file is no export: not JSON, not an array of objects, or an object of it is malformed."""


class UnknownFileKind(ExportFileError):
    """The file is neither a JSON array nor an archive."""


class InvalidArchive(ExportFileError):
    """The archive is damaged or does not hold exactly the three files of an encrypted export."""


class ArchiveTooLarge(ExportFileError):
    """The archive, one of its parts, or the number of its members is above the limit."""


class ArchiveExpands(ExportFileError):
    """The compressed archive grows to many times its size; an encrypted export cannot."""


class InvalidKey(ExportFileError):
    """The file given as a key holds no RSA key of the kind that is needed."""


class KeyHasPassphrase(ExportFileError):
    """The private key is protected by a passphrase."""


class WrongKey(ExportFileError):
    """The archive was encrypted for another key."""


class Tampered(ExportFileError):
    """The encrypted content does not carry the signature of its data key."""


class UnknownModel(ExportFileError):
    """The file has rows of a model that no known version has."""


class NotText(ExportFileError):
    """A field that must be hidden holds no text."""


class DateOutOfRange(ExportFileError):
    """A date cannot be moved that far."""
