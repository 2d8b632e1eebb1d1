"""The chapters of a report, one module each: from a `Book` and `Words` to a `Chapter`."""
