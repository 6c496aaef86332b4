"""Home places: six hand-made places that the shipped world learns by heart, with baked light and fine textures."""
