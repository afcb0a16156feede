"""Read pictures -> what stands between them and an honest score: copies, conflicts, leaks, doubtful classes."""

from bestiary.data.audit.audit import audit_pictures
from bestiary.data.audit.findings import Audit
from bestiary.data.audit.recognition import KINDS, Recognition, recognise_labelled

__all__ = ["KINDS", "Audit", "Recognition", "audit_pictures", "recognise_labelled"]
