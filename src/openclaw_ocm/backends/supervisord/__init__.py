"""supervisord with bubblewrap, where no user manager answers."""
