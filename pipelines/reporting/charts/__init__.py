"""The figures of a report: SVG that sits inside the page, one module for each family."""
