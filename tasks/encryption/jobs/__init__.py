"""Jobs under encryption, one module a kind. `kinds` reads a description back as the job that it describes."""
