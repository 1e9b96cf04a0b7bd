"""The nouns that every room shares: settings, errors, policy, table, store."""
