"""Declared adversaries against a release, the risk they show, and the score that sums it up.

Every attack is run on people who are in the release and on people who are not (the control). An attack that succeeds
on both has learned about the population; only the excess is risk to the people in the release.
"""
