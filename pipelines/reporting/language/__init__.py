"""The languages of a report: messages from catalogues, numbers and dates by locale."""
