"""When to measure and what to log; no mathematics.

`Diagnosis` and `NeighbourMonitor`, which `ganstoch` offers, work in anybody's LightningModule.
"""
