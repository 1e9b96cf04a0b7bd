"""Medical volumes: reading, registration, and surgery guided by images that the cluster never sees."""
