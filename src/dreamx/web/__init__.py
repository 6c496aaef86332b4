"""What every server of ours does at its door, whatever it serves: connections, hosts, headers, bodies."""
