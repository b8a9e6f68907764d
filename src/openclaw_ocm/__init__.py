"""OCM runs many sealed OpenClaw gateways side by side on one Linux host."""

__version__ = "0.1.0"
