"""What samples are compared by: vectors out of the maps of a frozen encoder."""
