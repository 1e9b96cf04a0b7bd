"""Bias of the downstream model between groups of people: measured, mitigated, measured again."""
