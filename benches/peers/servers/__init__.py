"""The Python peers, each as its own documentation would have one write it, around the same classifier."""
