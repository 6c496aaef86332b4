"""Features of pictures by small networks of ours: what dreams and true renders are compared by where no picture has a true twin."""
