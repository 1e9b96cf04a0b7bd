"""What runs: one file per flow, wiring only, and the `secured` command.

Importing this package applies the quiet environment, since prefect and dask read it when they are imported.
"""

from tasks.common import environment

environment.apply()
