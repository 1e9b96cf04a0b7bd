"""Making tables safe to share. Where to look:

- A release from start to end: anonymizer; plan and account; deciding (on each tuple), releasing (the rows).
- Equivalence classes: counting and grouping (one pass over a table), counted_files (between workers), classes and
  histograms (merging them).
- Hierarchies: hierarchies; axes (columns as local recoding sees them).
- Criteria: criteria; diversity, closeness, disclosure, population, uniqueness, reidentification_risk.
- The best generalization: search; candidates and branching (nodes left), lattice, rollup, losses.
- Other recodings: mondrian, microaggregation and centroids, cell_suppression; recoding is their common form.
- Single columns: transforming; coding, rounding, pseudonyms, date_shift.
- People with many rows: longitudinal; holdout (who is set aside); linked (several tables about the same people).
- Images: dicom, dicom_profile (the standard's table), dicom_files.
- Adjustments: ladder.
"""
