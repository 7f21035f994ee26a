"""Training the classifier: data with labels that the outputs tell, a fit, and figures. Nothing of it runs in a service."""
