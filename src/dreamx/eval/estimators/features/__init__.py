"""Features of pictures by small networks of ours, by which dreams are compared with true renders that are no twins of them."""
