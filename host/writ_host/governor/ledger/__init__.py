"""A governor's durable state: the database, certified capsules, hard state, ceremonies."""
