"""What stands around the daemons: command line, brokers, demo, service units, configuration."""
