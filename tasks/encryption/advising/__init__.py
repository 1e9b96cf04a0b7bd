"""The advisor: a problem becomes scheme, library and parameters, with their price and what else there is."""
