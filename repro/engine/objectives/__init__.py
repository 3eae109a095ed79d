"""What training minimizes: one file for each objective."""
