"""Work that Ray does wherever its cluster has room: the folds of runs, and services.

Nothing is imported from Ray before it is asked for; services (`replicas`) need the extra `serve`
too.
"""
