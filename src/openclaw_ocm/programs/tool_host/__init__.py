"""The first process of an instance's sandbox, which makes boxes for the tools of its sessions.

It is run by the system's Python from an archive in the sandbox, knows nothing of OCM, and holds nothing that
is not in the sandbox: who fools it gains no more than the gateway has.
"""
