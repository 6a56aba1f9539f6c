"""Sconce, judged by clients that it did not write."""
