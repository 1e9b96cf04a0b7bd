"""The knowledge base: every release with its evidence, found again in MLflow; and the reports that people read."""
