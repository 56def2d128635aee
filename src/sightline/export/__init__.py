"""A run as a page: the network and its heatmaps, live in any browser.

========  =======================================================================
rounding  weights of a few bits
graph     network and heatmaps as one ONNX graph
demo      the page around it, alone or within the book
export    a run in, a folder out
web/      the page's own files, and onnxruntime-web
========  =======================================================================
"""
