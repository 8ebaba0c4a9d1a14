from .auditing.audit import audit as audit
from .callbacks.diagnosis import Diagnosis as Diagnosis
from .callbacks.neighbour_monitor import NeighbourMonitor as NeighbourMonitor
from .data.datamodule import ImageData as ImageData
from .diagnosis.monitor import Monitor as Monitor
from .metrics.overfitting import OverfittingModeDrop as OverfittingModeDrop
from .training.gan import GAN as GAN

__all__ = ["GAN", "Diagnosis", "ImageData", "Monitor", "NeighbourMonitor", "OverfittingModeDrop"]
__all__ += ["audit"]
__version__: str
