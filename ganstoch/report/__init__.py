"""Tables, figures and pages, made from what finished runs leave: no training."""
