"""Making tables safe to share. Where to look:

| for                          | in                                                                                    |
|------------------------------|---------------------------------------------------------------------------------------|
| a release, from start to end | anonymizer; plan, account; deciding (what becomes of each tuple), releasing (rows)     |
| equivalence classes          | counting, grouping (one pass over a table), classes (merging them)                     |
| hierarchies                  | hierarchies, axes (columns as local recoding sees them)                                |
| criteria                     | criteria; diversity, closeness, disclosure, population, reidentification_risk, uniqueness |
| the best generalization      | search; candidates and branching (nodes left), lattice, rollup, losses                 |
| other recodings              | mondrian, microaggregation, centroids, cell_suppression; recoding is their common form  |
| single columns               | transforming; coding, rounding, pseudonyms, date_shift                                 |
| people with many rows        | longitudinal; holdout (who is set aside); linked (several tables about the same people) |
| images                       | dicom, dicom_profile (the standard's table), dicom_files                               |
| adjustments                  | ladder                                                                                |
"""
