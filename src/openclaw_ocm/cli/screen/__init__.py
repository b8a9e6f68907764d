"""The live screen of `ocm top`: what it shows as values, how that is drawn, and the terminal below."""
