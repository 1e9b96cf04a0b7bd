"""Secure computations, one a name: NAME.mpc for MP-SPDZ, NAME.py as description, plaintext and embedded counterpart."""
