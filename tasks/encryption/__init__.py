"""Homomorphic encryption: an advisor chooses, keys are held by role, a guard refuses what would be wrong."""
