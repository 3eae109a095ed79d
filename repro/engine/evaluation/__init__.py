"""Features of images, reference statistics, and measurements with the facts that judge them."""
