"""What a training came to, in words, tables and figures.

================  ===============================================================
tables            tables for the terminal and for Markdown
comparison        two or more runs side by side
comparison_page   the same as a page with its figures
subject           a run that is reported on, and the parts of a report
names             pictures by the names of their files
answers           sections about right and wrong, confidence, damaged pictures
simple_baselines  the section on classifiers without a network
data_doubts       sections about doubtful labels and repeated pictures
attention         the section on shortcuts and where maps lie
heatmap_trust     the section that scores heatmaps
sections          all of them, in their order
report            the page made of them
review            the page on which labels and copies are decided about
tensorboard       graph and pictures of a run, beside the scalars in TensorBoard
picture           one picture file: the answer of a network, and its heatmaps
predictions       answers about many picture files, as a table that grows
================  ===============================================================
"""
