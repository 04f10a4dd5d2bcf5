"""A costly tutor teaches a cheap student: sessions are recorded, a Behaviour is fitted to them, money is spent well."""
