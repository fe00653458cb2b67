"""The command `overround`."""
