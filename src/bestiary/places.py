"""An error of the system about a place that the user has named -> the line that says so.

A verb asks in many places whether a path is there. Where the system does not even answer that, the
place is at fault, and not the verb.
"""

import errno
import os

REMEDIES = {
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EACCES: "check its permissions, and those of the folders above it",
    errno.EPERM: "check its permissions, and those of the folders above it",
    errno.ELOOP: "a link leads in a circle; remove it",
    errno.EROFS: "choose another folder",
    errno.ENOSPC: "free space",
    errno.EDQUOT: "free space",
    errno.EIO: "check the disk or the network",
    errno.ESTALE: "check the disk or the network",
}
"""What can be wrong with a place -> what to do. Any other error is a defect of bestiary."""


def describe_place(error: Exception) -> str | None:
    """Say what is wrong with the place that an error of the system names.

    Args:
        error: of any kind, that no verb has foreseen.

    Returns:
        One line; None where the error is a defect.

    Example:
        >>> describe_place(OSError(errno.ENAMETOOLONG, "File name too long", "xxx"))
        'xxx: cannot be used (File name too long); choose a shorter name'
    """
    if not isinstance(error, OSError):
        return None
    remedy = REMEDIES.get(error.errno or 0)
    if remedy is None or not isinstance(error.filename, str | bytes | os.PathLike):
        return None
    return f"{os.fsdecode(error.filename)}: cannot be used ({error.strerror}); {remedy}"
