"""A governor's durable state: database, capsules, reservations, proposals, chain, hard state."""
