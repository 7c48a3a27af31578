"""The edge daemon: decides in its own memory, makes it durable, syncs when it can."""
