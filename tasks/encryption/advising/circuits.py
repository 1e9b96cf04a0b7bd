"""Which circuits there are for an operation."""

from __future__ import annotations

from tasks.encryption.advising.circuit import Circuit
from tasks.encryption.advising.circuit_images import Zoom
from tasks.encryption.advising.circuit_models import MatrixVector, WeightedColumns, WeightedRows
from tasks.encryption.advising.circuit_networks import Network, PackedNetwork, Polynomial
from tasks.encryption.advising.circuit_tables import Aggregation, ColumnTotals, KMeansStep, Training
from tasks.encryption.advising.problem import Operation

_LAYOUTS: dict[Operation, tuple[type[Circuit], ...]] = {
    Operation.SUM: (ColumnTotals,),
    Operation.MEAN: (ColumnTotals,),
    Operation.VARIANCE: (ColumnTotals,),
    Operation.HISTOGRAM: (ColumnTotals,),
    Operation.LINEAR: (WeightedColumns, WeightedRows),
    Operation.LOGISTIC: (WeightedColumns, WeightedRows),
    Operation.COX: (WeightedColumns, WeightedRows),
    Operation.POLYGENIC_SCORE: (WeightedColumns, WeightedRows),
    Operation.LOOKUP: (WeightedRows,),
    Operation.POLYNOMIAL: (Polynomial,),
    Operation.NETWORK: (Network, PackedNetwork),
    Operation.MATRIX_VECTOR: (MatrixVector,),
    Operation.KMEANS_STEP: (KMeansStep,),
    Operation.TRAINING: (Training,),
    Operation.AGGREGATION: (Aggregation,),
    Operation.REGRIDDING: (Zoom,),
}


def layouts(operation: Operation) -> tuple[type[Circuit], ...]:
    """The circuits of an operation, in different layouts; none where it compares."""
    return _LAYOUTS.get(operation, ())
