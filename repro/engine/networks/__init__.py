"""What has parameters: one file for each network."""
