"""Declared adversaries against a release, the risk they show, and the score that sums it up.

Every attack is run on people who are in the release and on people who are not (the control). An attack that succeeds
on both has learned about the population; only the excess is risk to the people in the release. Where to look:

| for                       | in                                                                                |
|---------------------------|-----------------------------------------------------------------------------------|
| who attacks, and whom     | adversary, targets, sizing (how many)                                             |
| running them, summing up  | attack, assess, risk, score; inside (who is at risk, for the owner alone); adjust |
| targets and rows together | space (labels as what they cover), neighbours, tree, cutting, gaps, fitting       |
| singling out, linkability | singling_out, predicates; linkability                                             |
| secrets                   | inference, learning; disclosure                                                   |
| membership                | membership, shadow                                                                |
| identity, recoded values  | reidentification; reconstruction, refining                                        |
"""
