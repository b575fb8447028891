"""What people and programs read: the only place that formats. Data in, text or JSON out."""
