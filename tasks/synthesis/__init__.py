"""Synthetic rows learned from an anonymized release, to bring it to a useful volume."""
