"""Is the release still useful: the question it shall answer, how many rows that takes, how faithful synthetic rows are."""
