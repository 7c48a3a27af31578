"""One real trading day, replayed by real MQTT clients against real daemons."""
