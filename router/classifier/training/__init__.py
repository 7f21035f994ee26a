"""Training the classifier: data with labels that outputs tell, a fit, figures. Nothing of it runs in a service."""
