"""Backbones, measured on this machine -> the one to train."""
