"""What Triroute tells of itself: spans, metrics and logs. Only this package knows the OpenTelemetry SDK."""
