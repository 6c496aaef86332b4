"""Play beyond one machine: a front that knows who walks where, and replicas of a world, placed by Ray Serve."""
