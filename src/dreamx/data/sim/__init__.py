"""The deep simulator: discovery of paths and events without rendering, then rendering of what was accepted."""
