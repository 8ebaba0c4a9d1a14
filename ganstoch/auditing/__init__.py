"""Any two sets of images, and what one has learned of the other."""
