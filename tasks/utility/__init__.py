"""Is the release still useful: the question it answers, how many rows that takes, how faithful synthetic rows are."""
