"""Read pictures -> what stands between them and an honest score: copies, conflicts, leaks, doubtful classes."""

from bestiary.data.audit.audit import audit_pictures
from bestiary.data.audit.findings import Audit

__all__ = ["Audit", "audit_pictures"]
