"""When to measure and what to log; no mathematics."""
