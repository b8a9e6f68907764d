"""What the verbs share: how a change is planned and carried out."""
