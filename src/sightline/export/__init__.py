"""A run as a page: the network and its heatmaps, live in any browser.

==============  =================================================================
rounding        weights of a few bits
graph           network and heatmaps as one ONNX graph
features        what a page that is taught classes sees in a picture
training_graph  a step of training as an ONNX graph, for a page that learns
still           what the live demo shows before anything is loaded
assets          the files that a page loads
page            the page's pictures and its HTML
export          a run in, a folder out
web/            templates, scripts and style of the page, and onnxruntime-web
==============  =================================================================
"""
