"""A backbone's name -> a network with its preprocessing, weights included."""
