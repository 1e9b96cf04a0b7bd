"""Secure multi-party computation: several holders of data compute together, and nobody sees another's.

Where to look: protocols (what each guarantees), formats (numbers as integers), program (what a computation is), engine
(the contract), mp_spdz and embedded (engines), advisor (which protocol), runs (a job from inputs to outputs).
"""
