"""The interfaces that users hold."""
