"""Resampling of encrypted volumes: zoom by integers, and deformation by a field that is not secret."""
