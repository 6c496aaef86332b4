"""Clips that the simulator did not make: other people's data sets, pose estimators, a game, plain videos."""
