"""Checks at the door of every server of ours, whatever it serves: connections, hosts, headers, bodies."""
