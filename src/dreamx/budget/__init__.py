"""Will it fit, and how fast will it be: networks are counted without weights, the machine is measured."""
