"""Measurements that the documentation quotes; each says how it was made and can be run again."""
