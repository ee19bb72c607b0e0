"""shipfwd: forwards each tracking number to the sales channel its order came from."""

__version__ = "0.1.0"
