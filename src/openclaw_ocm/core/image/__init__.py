"""PURE: the image that a gateway runs from in a container: what is where in it, and the documents of OCI."""
