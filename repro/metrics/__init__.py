"""The formulas of every metric, on arrays: the engine measures with them, the gate repeats them."""
