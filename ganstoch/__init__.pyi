from .auditing.audit import audit as audit
from .callbacks.diagnosis import Diagnosis as Diagnosis
from .callbacks.neighbour_monitor import NeighbourMonitor as NeighbourMonitor
from .data.datamodule import ImageData as ImageData
from .diagnosis.monitor import Monitor as Monitor
from .metrics.overfitting import OverfittingModeDrop as OverfittingModeDrop
from .training.gan import GAN as GAN
from .watch.hugging_face import MonitorCallback as MonitorCallback

__all__ = ["GAN", "Diagnosis", "ImageData", "Monitor", "MonitorCallback", "NeighbourMonitor"]
__all__ += ["OverfittingModeDrop", "audit"]
__version__: str
