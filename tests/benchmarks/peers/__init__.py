"""What the gateway is measured against: programs that a team would write in its place, each a process of its own."""
