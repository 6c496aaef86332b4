"""Did the named thing do what was said of it, when it was said? A small network's answer, trained on the simulator's truth."""
