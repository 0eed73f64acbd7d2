"""Arrays that are stored as a few named parts and a table that describes them: sparse ones, masked ones. No I/O."""
