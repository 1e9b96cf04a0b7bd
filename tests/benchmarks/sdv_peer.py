"""SDV's CTGANSynthesizer, run in an environment of its own: learn a table, draw as many rows, print the seconds of fit.

Usage: sdv_peer.py LEARNED OUT EPOCHS SEED
"""

import sys
import time
import warnings

import numpy as np
import pandas as pd
import torch
from sdv.metadata import Metadata
from sdv.single_table import CTGANSynthesizer

source, out, epochs, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
warnings.simplefilter("ignore")
torch.set_num_threads(1)
np.random.seed(seed)  # noqa: NPY002 - what SDV draws from
torch.manual_seed(seed)
frame = pd.read_parquet(source)
metadata = Metadata.detect_from_dataframes({"table": frame})
for column in frame.columns:
    kind = "numerical" if frame[column].dtype.kind == "f" else "categorical"
    metadata.update_column(table_name="table", column_name=column, sdtype=kind)
metadata.remove_primary_key(table_name="table")
synthesizer = CTGANSynthesizer(metadata, epochs=epochs, enable_gpu=False)
start = time.perf_counter()
synthesizer.fit({"table": frame})
seconds = time.perf_counter() - start
made = synthesizer.sample(len(frame))
(made["table"] if isinstance(made, dict) else made).to_parquet(out)
sys.stdout.write(f"{seconds}\n")
