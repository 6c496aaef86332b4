"""Features of pictures by small networks of ours, by which dreams are compared with unpaired true renders."""
