"""What a training came to, in words, tables and figures.

===============  ================================================================
tables           tables for the terminal and for Markdown
comparison       two or more runs side by side
comparison_page  the same as a page with its figures
sections         the parts of a report on one run
report           the page made of them
===============  ================================================================
"""
