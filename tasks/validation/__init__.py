"""Is the input what the policy says it is; and a first policy for a table that has none."""
