"""The parts that streaming views and websockets share."""
