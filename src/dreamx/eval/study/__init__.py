"""The human study: two sets of videos side by side, blind, as DreamX-World 1.0, section 5.4, asked its people."""
