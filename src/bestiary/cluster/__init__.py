"""Work that Ray does wherever its cluster has room: the folds of runs, and services.

Nothing is imported from Ray before it is asked for; services (`replicas`) need the extra `serve` too.
"""

from bestiary.cluster.connection import Connection, check_address
from bestiary.cluster.folds import FoldJob, train_on_ray

__all__ = ["Connection", "FoldJob", "check_address", "train_on_ray"]
