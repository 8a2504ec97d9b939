"""A scope as its operators see it: folder, admission, issuance, review and delivery."""
