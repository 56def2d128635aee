"""What makes the book; it needs the extra `book`.

=============  ==================================================================
notebook       what every chapter's first cells use
explorers      figures that readers move
studies        what studies recorded, for chapters to quote
chapters       a text file that people edit, and the notebook executed from it
manifest       what an edition was made of
index_entries  the words that readers type into the search
minutes        what a page asks of its reader
execute        run the chapters with papermill
pages          repairs of the built pages
site           build the static site
paper          its pages as one PDF
release        what is handed out with an edition
address        where the book lives, changed for a fork
=============  ==================================================================
"""
