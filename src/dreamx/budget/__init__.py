"""Will it fit, and how fast will it be: counted on networks that are not there, and measured on the machine that is."""
