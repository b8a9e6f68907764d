"""Kubernetes: each gateway is a pod in a namespace of its own."""
