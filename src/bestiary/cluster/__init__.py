"""Work on a Ray cluster: the folds of runs, and replicas of a service.

Ray is imported when a cluster is asked for. Replicas need the extra `serve` too.
"""
