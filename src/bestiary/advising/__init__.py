"""Choosing a backbone: measure candidates on this machine and these images, recommend one."""
