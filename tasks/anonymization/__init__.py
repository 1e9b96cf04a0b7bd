"""Making a table safe to share: hierarchies, equivalence classes, lattice search, criteria, adjustments."""
