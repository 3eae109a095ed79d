"""What each kind of stage does: read what earlier stages left, compute, record what it leaves."""
