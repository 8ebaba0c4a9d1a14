"""From a command line or a sweep to runs, records and a report."""
