"""How fast arrays go to a store and back, beside what else there is for it: ``python -m benchmarks --help``."""
