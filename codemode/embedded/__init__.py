"""An executor that runs as this process's child."""
